"""Transactions that are open for too long, or one after the other: others go on without them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.fixtures_postgres import Database, Login, with_database
from tests.invariants.scene import Connection, Scene, open_scene

SWEEP = "SELECT juggernaut.sweep_v1()"
THRESHOLD = "UPDATE juggernaut.thresholds SET value = $2 WHERE name = $1"
ENDED = "SELECT count(*) FROM juggernaut.events WHERE kind = 'transaction.ended'"
HIDE = "SELECT 1 FROM governance_tasks FOR UPDATE"
SAVED = f"SAVEPOINT s; {HIDE}; RELEASE s"
SHARED = "SELECT 1 FROM governance_tasks FOR SHARE"
# Whatever asyncpg makes of a connection that was ended under it.
GONE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
LATE = "UPDATE juggernaut.duties SET done_at = done_at - interval '1 hour'"
RESERVE = "SELECT juggernaut.reserve_v2($1, $2, $3, 'm', 'p', 'd', 0.01, 1, NULL, NULL)"


@pytest.fixture
async def scene(database: Database, worker_login: Login) -> AsyncIterator[Scene]:
    """A database with one login of each kind; what is in the way is a hold at once."""
    async with open_scene(database, worker_login) as made:
        # The template may be older than `duty_late_seconds`.
        await made.operator.execute("UPDATE juggernaut.duties SET done_at = clock_timestamp()")
        await made.operator.execute(THRESHOLD, "hold_seconds", 0)
        await made.operator.execute(THRESHOLD, "hold_times", 100)
        yield made


async def alerts(scene: Scene, kind: str) -> list[str]:
    """Whom the open alerts of a kind name."""
    rows = await scene.operator.fetch(
        "SELECT subject FROM alerts WHERE kind = $1 AND resolved_at IS NULL", kind
    )
    return [row[0] for row in rows]


async def swept(hand: Connection) -> dict[str, object]:
    """Sweep once."""
    found: dict[str, object] = json.loads(await hand.fetchval(SWEEP))
    return found


@pytest.mark.parametrize("how", [HIDE, SAVED, SHARED])
async def test_who_hides_tasks_again_and_again_is_ended(scene: Scene, how: str) -> None:
    """By row locks, under a savepoint too, or two together: each time short, the last is ended."""
    await scene.swarm.add()
    session = await scene.swarm.worker()
    watchdog = await scene.database.connect(scene.worker)
    hostile = [await scene.database.connect(scene.rival) for _ in range(1 + (how == SHARED))]
    for sweeps in (4, 1):  # one transaction is one hold, however often somebody sweeps
        for hand in hostile:
            await hand.execute(f"ROLLBACK; BEGIN; {how}")
        assert await scene.swarm.store.claim(session, 1) == ()
        for _ in range(sweeps):
            assert await swept(watchdog)
        assert await alerts(scene, "transactions_held") == []
    assert len(await scene.operator.fetch("SELECT FROM juggernaut.holds")) == 2 * len(hostile)
    await scene.operator.execute(THRESHOLD, "hold_times", 2)
    await swept(watchdog)
    assert await scene.operator.fetchval(ENDED) == len(hostile)
    assert await alerts(scene, "transactions_held") == [scene.rival.name]
    with pytest.raises(GONE):
        await hostile[0].execute("SELECT 1")
    assert len(await scene.swarm.store.claim(session, 1)) == 1
    await scene.operator.execute(THRESHOLD, "hold_window_seconds", 0)
    await swept(watchdog)
    assert await alerts(scene, "transactions_held") == []
    assert await scene.operator.fetchval("SELECT count(*) FROM juggernaut.holds") == 0


async def test_what_is_in_nobodys_way_is_no_hold(scene: Scene) -> None:
    """A daemon's effect lock, a late duty that nobody holds, an open edit of one's own log."""
    await scene.operator.execute(LATE)
    claim = await scene.claimed()
    await scene.swarm.add()
    lease = claim.lease
    watchdog = await scene.database.connect(scene.rival)
    busy = await scene.database.connect(scene.worker)
    await busy.execute("BEGIN")
    assert await busy.fetchval(
        "SELECT juggernaut.effect_lock_v1($1, $2, $3)", lease.task_id, lease.fence, lease.secret
    )
    waiting = asyncio.create_task(  # behind the effect lock: that is nobody's fault
        watchdog.execute("BEGIN; SELECT 1 FROM governance_tasks WHERE NOT ready FOR UPDATE")
    )
    await asyncio.sleep(0.1)
    await swept(await scene.database.connect(scene.rival))
    assert await scene.operator.fetchval("SELECT count(*) FROM juggernaut.holds") == 0
    await busy.execute("ROLLBACK")
    await waiting


@pytest.mark.parametrize("duty", ["sweep_v1", "detect_v1", "settle_goals_v1"])
async def test_a_late_duty_is_taken_back(scene: Scene, duty: str) -> None:
    """From who holds it in short transactions: the sweep that ends the last one is the first."""
    await scene.claimed()
    await scene.expire()
    watchdog = await scene.database.connect(scene.worker)
    await scene.operator.execute(THRESHOLD, "hold_times", 2)
    for late in (False, True, True):
        if late:
            await scene.operator.execute(LATE)
        hostile = await scene.database.connect(scene.rival)
        await hostile.execute(f"BEGIN; SELECT juggernaut.{duty}()")
        assert await scene.operator.fetchval(ENDED) == 0
        found = await swept(watchdog)
        if await scene.operator.fetchval(ENDED) == 0:
            assert ("skipped" in found) is (duty == "sweep_v1")
            await hostile.execute("ROLLBACK")
    assert "skipped" not in found
    assert await scene.operator.fetchval(ENDED) == 1
    assert await alerts(scene, "transactions_held") == [scene.rival.name]
    assert await scene.operator.fetchval("SELECT status FROM governance_tasks") == "pending"
    answer = await watchdog.fetchval(f"SELECT juggernaut.{duty}()")
    assert "skipped" not in json.loads(answer)
    done = "SELECT count(*) FROM juggernaut.duties WHERE done_at > now() - interval '1 minute'"
    assert await scene.operator.fetchval(done) >= 1


async def test_who_keeps_the_purses_is_ended(scene: Scene) -> None:
    """Everybody's model calls wait for the day's purse, until the holder is ended."""
    mine, theirs = await scene.claimed(), None
    await scene.swarm.add()
    hostile, worker, watchdog = [
        await scene.database.connect(login) for login in (scene.rival, scene.worker, scene.worker)
    ]
    opened = await hostile.fetchrow(
        "SELECT * FROM juggernaut.open_session_v1('h', 'executor', $1)",
        json.dumps({"capabilities": ["command"]}),
    )
    assert opened is not None
    theirs = await hostile.fetchrow(
        "SELECT * FROM juggernaut.claim_v1($1, $2, 1)", opened["session"], opened["secret"]
    )
    assert theirs is not None
    await scene.operator.execute(THRESHOLD, "hold_times", 1)
    await hostile.execute("BEGIN")
    task = json.loads(theirs["task"])["id"]
    await hostile.fetchval(RESERVE, task, theirs["fence"], theirs["secret"])
    await swept(watchdog)
    assert await scene.operator.fetchval(ENDED) == 0  # nobody waits
    lease = mine.lease
    call = asyncio.create_task(worker.fetchval(RESERVE, lease.task_id, lease.fence, lease.secret))
    await asyncio.sleep(0.2)
    await swept(watchdog)
    assert await call is not None
    assert await alerts(scene, "transactions_held") == [scene.rival.name]


async def test_what_a_person_left_open_is_ended(scene: Scene) -> None:
    """The sweep leaves one lease for it and takes the others; after a while it is ended."""
    first, dependants = await scene.claimed(max_attempts=1), []
    dependants.append(await scene.swarm.add(depends_on=[first.task.id]))
    other = await scene.claimed("w2")
    watchdog = await scene.database.connect(scene.worker)
    person, reader = [await scene.database.connect(x) for x in (scene.approver, scene.reader)]
    await reader.execute("BEGIN; SELECT 1 FROM governance_tasks")
    await person.execute("BEGIN")
    await person.execute(
        "UPDATE governance_tasks SET priority = 'high' WHERE id = $1", dependants[0]
    )
    await scene.expire()
    found = await swept(watchdog)
    assert (found["expired"], found["errors"]) == (
        1,
        [
            {
                "duty": "leases",
                "of": str(first.task.id),
                "message": "canceling statement due to lock timeout",
            }
        ],
    )
    assert await scene.swarm.status(other.task.id) == "pending"
    assert await scene.operator.fetchval(ENDED) == 0
    await scene.operator.execute(THRESHOLD, "approver_idle_seconds", 0)
    assert (await swept(watchdog))["expired"] == 1
    assert sorted(await alerts(scene, "transaction_idle")) == sorted(
        [scene.approver.name, scene.reader.name]
    )
    for hand in (person, reader):
        with pytest.raises(GONE):
            await hand.execute("COMMIT")


async def test_another_database_of_the_server_is_looked_at_too(
    scene: Scene, database: Database
) -> None:
    """What has a number there keeps our events from being sealed; a stranger's is left alone."""
    await scene.operator.execute(THRESHOLD, "transaction_seconds", 0)
    hands = []
    for login in (scene.rival, scene.reader, scene.approver):
        url = with_database(database.url_for(login.name, login.password), "postgres")
        hands.append(await asyncpg.connect(url))
    await scene.operator.execute(f"GRANT pg_monitor TO {scene.rival.name}")
    watchdog = await scene.database.connect(scene.worker)
    try:
        for hand in hands:
            await hand.execute("BEGIN; SELECT pg_current_xact_id()")
        await swept(watchdog)
        await hands[0].execute("SELECT 1")
        await scene.operator.execute(f"REVOKE pg_monitor FROM {scene.rival.name}")
        await swept(watchdog)
        for hand in hands[:2]:
            with pytest.raises(GONE):
                await hand.execute("COMMIT")
        await hands[2].execute("COMMIT")
        await swept(watchdog)
        assert await scene.operator.fetchval("SELECT unsealed FROM audit_verify()") == 0
    finally:
        for hand in hands:
            hand.terminate()
