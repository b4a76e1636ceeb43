"""A row or a duty that a hostile login holds in an open transaction: others go on without it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from tests.fixtures_postgres import Database, Login
from tests.invariants.scene import Connection, Scene, open_scene

SWEEP = "SELECT juggernaut.sweep_v1()"
ENDED = "SELECT count(*) FROM juggernaut.events WHERE kind = 'transaction.ended'"
OPEN = "SELECT count(*) FROM juggernaut.sessions WHERE closed_at IS NULL"
REGISTER = "INSERT INTO worker_registry (worker_id, worker_type, status)"
TRIES = 200
NEXT_MONTH = """
SELECT 'execution_logs_' || to_char(date_trunc('month', now() AT TIME ZONE 'UTC')
                                    + interval '1 month', 'YYYYMM')
"""


@pytest.fixture
async def scene(database: Database, worker_login: Login) -> AsyncIterator[Scene]:
    """A database with one login of each kind; the rival is the hostile one."""
    async with open_scene(database, worker_login) as made:
        yield made


@asynccontextmanager
async def open_transaction(scene: Scene, login: Login, statement: str) -> AsyncIterator[Connection]:
    """Run a statement and stay, as long as the block, or until somebody ends it."""
    hand = await scene.database.connect(login)
    await hand.execute("SET idle_in_transaction_session_timeout = 0")
    await hand.execute("BEGIN")
    await hand.fetch(statement)
    yield hand


async def impatient(scene: Scene, login: Login) -> Connection:
    """A connection that reports a wait of 5 s as an error."""
    hand = await scene.database.connect(login)
    await hand.execute("SET lock_timeout = '5s'")
    return hand


async def swept(hand: Connection) -> dict[str, object]:
    """Sweep once."""
    found: dict[str, object] = json.loads(await hand.fetchval(SWEEP))
    return found


async def test_a_held_duty_is_taken_back(scene: Scene) -> None:
    """Whoever holds the sweep in a transaction is ended by the next one who would sweep."""
    await scene.claimed()
    await scene.expire()
    await scene.operator.execute(
        "UPDATE juggernaut.thresholds SET value = 0 WHERE name = 'transaction_seconds'"
    )
    watchdog = await impatient(scene, scene.worker)
    async with open_transaction(scene, scene.rival, SWEEP):
        for _ in range(TRIES):
            if "skipped" not in await swept(watchdog):
                break
            await asyncio.sleep(0.05)
    assert await scene.operator.fetchval(ENDED) == 1
    assert await scene.operator.fetchval("SELECT status FROM governance_tasks") == "pending"


async def test_a_locked_registry_stops_no_heartbeat_and_no_sweep(scene: Scene) -> None:
    """The session is extended; what the registry shows comes later."""
    claim = await scene.claimed()
    session = await scene.swarm.worker("w2")
    watchdog = await impatient(scene, scene.worker)
    async with open_transaction(
        scene, scene.rival, "SELECT 1 FROM worker_registry ORDER BY worker_id FOR UPDATE"
    ) as hostile:
        await scene.operator.execute(
            "UPDATE juggernaut.sessions SET beat_at = beat_at - interval '1 hour'"
        )
        assert await watchdog.fetchval(
            "SELECT juggernaut.beat_v1($1, $2, 'busy', NULL)", session.id, session.secret
        )
        assert (await swept(watchdog))["stale"] == 0
        await hostile.execute("ROLLBACK")
    assert (await swept(watchdog))["stale"] == 1  # the one that did not beat
    assert await scene.swarm.store.still_held(claim.lease)


async def test_a_start_under_a_strangers_name_holds_nothing(scene: Scene) -> None:
    """It is refused, and the heartbeat of the one whose name it is does not wait for that."""
    session = await scene.swarm.worker("victim")
    locker = open_transaction(
        scene, scene.rival, "SELECT 1 FROM worker_registry WHERE worker_id = 'victim' FOR UPDATE"
    )
    async with locker as hostile:
        other = await scene.database.connect(scene.rival)
        start = asyncio.create_task(
            other.fetch("SELECT juggernaut.open_session_v1('victim', 'executor', '{}')")
        )
        await asyncio.sleep(0.3)
        victim = await impatient(scene, scene.worker)
        assert await victim.fetchval(
            "SELECT juggernaut.beat_v1($1, $2, 'idle', NULL)", session.id, session.secret
        )
        await hostile.execute("ROLLBACK")
        with pytest.raises(asyncpg.PostgresError, match="belongs to another login"):
            await start


async def test_who_reads_the_logs_at_a_months_turn_stops_no_sweep(scene: Scene) -> None:
    """The new partition waits for the reader; what else is due does not."""
    part = await scene.operator.fetchval(NEXT_MONTH)
    await scene.operator.execute(f"DROP TABLE public.{part}")
    await scene.claimed()
    await scene.expire()
    watchdog = await impatient(scene, scene.worker)
    missing = f"SELECT to_regclass('public.{part}') IS NULL"
    async with open_transaction(
        scene, scene.reader, "SELECT count(*) FROM execution_logs"
    ) as reader:
        assert (await swept(watchdog))["expired"] == 1
        assert await scene.operator.fetchval(missing)
        await reader.execute("ROLLBACK")
    async with watchdog.transaction():
        await swept(watchdog)
        assert await watchdog.fetchval("SHOW lock_timeout") == "5s"
    assert not await scene.operator.fetchval(missing)


async def test_registering_again_opens_no_session(scene: Scene) -> None:
    """However often, in one statement; and a session that nobody's row names is closed."""
    hostile = await scene.database.connect(scene.rival)
    await scene.raw_worker(hostile, "raw")
    before = await scene.operator.fetchval(OPEN)
    for end in ("DO NOTHING", "DO UPDATE SET status = 'active'"):
        for _ in range(3):
            await hostile.execute(
                f"{REGISTER} VALUES ('raw', 'executor', 'active') ON CONFLICT (worker_id) {end}"
            )
    await hostile.execute(
        f"{REGISTER} SELECT 'raw', 'executor', 'active' FROM generate_series(1, 1000)"
        " ON CONFLICT (worker_id) DO NOTHING"
    )
    assert await scene.operator.fetchval(OPEN) == before
    left = await scene.swarm.worker("w9")
    await scene.swarm.worker("w9")
    await scene.operator.execute(
        "UPDATE juggernaut.sessions SET closed_at = NULL WHERE id = $1", left.id
    )
    await scene.expire()
    await swept(await impatient(scene, scene.worker))
    names = await scene.operator.fetch(
        "SELECT s.worker_id, w.instance_id = s.id AS named FROM juggernaut.sessions s"
        " JOIN worker_registry w USING (worker_id) WHERE s.closed_at IS NULL ORDER BY 1"
    )
    assert [tuple(row) for row in names] == [("raw", True), ("w9", True)]


async def test_a_limit_of_ones_own_keeps_others_waiting_for_minutes_at_most(scene: Scene) -> None:
    """The limits are the caller's word; what it says moves the bucket by ten minutes."""
    hostile = await scene.database.connect(scene.rival)
    take = "SELECT juggernaut.take_rate_v1('m/x', $1, NULL, 1)"
    assert await hostile.fetchval(take, 0.000001) == 0
    assert 500 < await hostile.fetchval(take, 60) <= 600


async def test_a_task_stands_once_in_a_batch_however_it_is_spelled(scene: Scene) -> None:
    """Two spellings of one name would be two proofs of one attempt."""
    claim = await scene.claimed()
    worker = await scene.database.connect(scene.worker)
    facts = {"command": ["true"], "exit_code": 0, "output_digest": "0" * 64}
    task: UUID = claim.lease.task_id
    good = {
        "task": str(task),
        "fence": claim.lease.fence,
        "secret": str(claim.lease.secret),
        **{"kind": "command", "facts": facts, "summary": "ran true"},
    }
    bad = {**good, "task": str(task).upper(), "secret": None, "kind": "code", "facts": {}}
    with pytest.raises(asyncpg.PostgresError, match="stands twice"):
        await worker.fetch(
            "SELECT * FROM juggernaut.complete_batch_v1($1::text::jsonb)", json.dumps([bad, good])
        )
    assert await scene.swarm.status(task) == "in_progress"


@pytest.mark.parametrize("slots", [None, 0, -1])
async def test_a_claim_says_how_much_it_wants(scene: Scene, slots: int | None) -> None:
    """Nothing said is not everything."""
    await scene.swarm.add()
    session = await scene.swarm.worker()
    with pytest.raises(asyncpg.PostgresError, match="at least one task"):
        await scene.swarm.pool.fetch(
            "SELECT * FROM juggernaut.claim_v1($1, $2, $3)", session.id, session.secret, slots
        )


@pytest.mark.parametrize("together", [False, True])
async def test_a_result_of_more_than_a_mebibyte_is_refused(scene: Scene, together: bool) -> None:
    """Alone by name; in a batch it is not in order, and what is with it is completed."""
    big, small = await scene.claimed(), await scene.claimed("w2")
    worker = await scene.database.connect(scene.worker)
    result = json.dumps({"text": "x" * 1024 * 1024})
    facts = {"command": ["true"], "exit_code": 0, "output_digest": "0" * 64}
    if together:
        rows = await worker.fetch(
            "SELECT * FROM juggernaut.complete_batch_v1($1::text::jsonb)",
            json.dumps(
                [
                    {
                        "task": str(claim.lease.task_id),
                        "fence": claim.lease.fence,
                        "secret": str(claim.lease.secret),
                        **{"kind": "command", "facts": facts, "summary": "ran true"},
                        "result": json.loads(result) if claim is big else None,
                    }
                    for claim in (big, small)
                ]
            ),
        )
        assert [row["landed"] for row in rows] == [None, True]
    else:
        lease = big.lease
        with pytest.raises(asyncpg.PostgresError, match="result has [0-9]+ bytes"):
            await worker.fetchval(
                "SELECT juggernaut.complete_v1($1, $2, $3, 'command', $4::text::jsonb, '[]',"
                " 'ran true', NULL, $5::text::jsonb)",
                *(lease.task_id, lease.fence, lease.secret, json.dumps(facts), result),
            )
    assert await scene.swarm.status(big.lease.task_id) == "in_progress"


@pytest.mark.parametrize(("full", "told"), [(0.4, 3), (0.6, 0)])
async def test_a_filling_queue_of_notices_is_left_alone(
    scene: Scene, full: float, told: int
) -> None:
    """From half full on nothing is announced: a full queue would refuse what is announced in it."""
    operator = scene.operator
    await operator.execute(
        "CREATE OR REPLACE FUNCTION pg_catalog.pg_notification_queue_usage()"
        f" RETURNS double precision LANGUAGE sql AS 'SELECT {full}::double precision'"
    )
    session = await scene.swarm.worker(handles=("command",))
    await scene.swarm.store.idle(session, True)
    heard: asyncio.Queue[str] = asyncio.Queue()
    ear = await scene.database.connect()
    for channel in ("juggernaut_work", "over"):
        await ear.add_listener(channel, lambda *found: heard.put_nowait(str(found[2])))
    task = await scene.swarm.add(run_after=datetime.now(UTC) + timedelta(hours=1))
    await scene.swarm.add()
    await operator.execute("UPDATE governance_tasks SET run_after = NULL WHERE id = $1", task)
    await operator.execute("SELECT pause_swarm('type:test', 'for a while')")
    assert await operator.fetchval("SELECT resume_swarm('type:test')")
    # Notices come in the order of their commits: after this one none is under way.
    await operator.execute("NOTIFY over")
    channels = []
    async with asyncio.timeout(10):
        while (channel := await heard.get()) != "over":
            channels.append(channel)
    assert len(channels) == told
