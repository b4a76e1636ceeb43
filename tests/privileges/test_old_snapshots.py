"""Who looks with an old snapshot may look, and not write: it would decide by what was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.model import Claim, Session
from tests.fixtures_postgres import Database, Login
from tests.invariants.daemon_calls import BATCH, WRITES, statement
from tests.invariants.scene import Connection, Scene, open_scene

OLD = ("REPEATABLE READ", "SERIALIZABLE")
REFUSED = "may look, and not write"
CLAIM = "SELECT * FROM juggernaut.claim_v1($1, $2, 5)"
DUTIES = (
    *("SELECT juggernaut.sweep_v1()", "SELECT juggernaut.detect_v1()"),
    "SELECT juggernaut.settle_goals_v1()",
)
UNGUARDED = """
SELECT c.oid::regclass::text FROM pg_class c
 WHERE c.relnamespace IN ('public'::regnamespace, 'juggernaut'::regnamespace)
   AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND pg_get_userbyid(c.relowner) = 'juggernaut_owner'
   AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled = 'A'
                    AND t.tgfoid = 'juggernaut.fresh_snapshot'::regproc
                    AND t.tgtype = 30 /* BEFORE, INSERT, DELETE, UPDATE, per statement */)
 ORDER BY 1
"""


@pytest.fixture
async def scene(database: Database, worker_login: Login) -> AsyncIterator[Scene]:
    """A database with one login of each kind."""
    async with open_scene(database, worker_login) as made:
        yield made


@asynccontextmanager
async def old(hand: Connection, level: str = OLD[0]) -> AsyncIterator[Connection]:
    """Look once, so that what comes later is not seen; what was written is kept."""
    await hand.execute(f"BEGIN ISOLATION LEVEL {level}")
    await hand.fetch("SELECT count(*) FROM governance_tasks")
    try:
        yield hand
    finally:
        await hand.execute("COMMIT")


async def refused(hand: Connection, statement_: str, *values: object) -> None:
    """Expect the refusal, in words."""
    with pytest.raises(asyncpg.PostgresError, match=REFUSED):
        await hand.fetch(statement_, *values)


async def held(scene: Scene) -> tuple[Session, Claim]:
    """A task in the hands of a daemon."""
    task = await scene.swarm.add()
    session = await scene.swarm.worker()
    claim = await scene.swarm.claim_one(session)
    assert claim.task.id == task
    return session, claim


async def test_every_table_but_the_three_of_the_hot_moves_has_the_guard(scene: Scene) -> None:
    """A new table without it would be found here."""
    rows = await scene.operator.fetch(UNGUARDED)
    assert [row[0] for row in rows] == [
        *("governance_tasks", "juggernaut.attempts", "juggernaut.events")
    ]


@pytest.mark.parametrize("level", OLD)
@pytest.mark.parametrize("name", [*sorted(WRITES), "complete_batch_v1"])
async def test_no_function_of_an_attempt_writes(scene: Scene, name: str, level: str) -> None:
    """With a lease that is good, each of them; at read committed the same call writes."""
    call = BATCH if name == "complete_batch_v1" else statement(name, WRITES[name])
    _, claim = await held(scene)
    lease = (claim.lease.task_id, claim.lease.fence, claim.lease.secret)
    hand = await scene.database.connect(scene.worker)
    async with old(hand, level):
        await refused(hand, call, *lease)
    if name != "propose_tasks_v1":  # only a planning task proposes
        assert await hand.fetch(call, *lease)


@pytest.mark.parametrize("level", OLD)
async def test_no_duty_is_done(scene: Scene, level: str) -> None:
    """Sweeping by what was would take a living worker's task and seal what is sealed."""
    hand = await scene.database.connect(scene.rival)
    for duty in DUTIES:
        async with old(hand, level):
            await refused(hand, duty)
        await hand.fetch(duty)


async def test_a_living_workers_lease_is_not_swept_by_what_was(scene: Scene) -> None:
    """Its heartbeat came after the snapshot; default_transaction_isolation changes nothing."""
    session, claim = await held(scene)
    await scene.expire()
    hand = await scene.database.connect(scene.rival)
    await hand.execute("SET default_transaction_isolation = 'repeatable read'")
    async with old(hand):
        await scene.operator.execute(
            "UPDATE juggernaut.sessions SET expires_at = now() + interval '1 hour' WHERE id = $1",
            session.id,
        )
        await refused(hand, "SELECT juggernaut.sweep_v1()")
    await refused(hand, "SELECT juggernaut.sweep_v1()")
    assert await scene.swarm.store.still_held(claim.lease)


async def test_what_was_revoked_or_paused_since_is_not_claimed(scene: Scene) -> None:
    """By the daemon's function and by plain SQL."""
    task: UUID = await scene.swarm.add()
    session = await scene.swarm.worker()
    hand = await scene.database.connect(scene.worker)
    await scene.raw_worker(hand, "raw")
    for stop in ("revoke_capability('executor', 'command')", "pause_swarm('all', 'stop')"):
        async with old(hand):
            await scene.operator.fetchval(f"SELECT {stop}")
            await refused(hand, CLAIM, session.id, session.secret)
        async with old(hand):
            with pytest.raises(asyncpg.PostgresError, match=REFUSED):
                await scene.raw_claim(hand, task, "raw")
    assert await scene.swarm.status(task) == "pending"


async def test_people_decide_and_add_by_what_is(scene: Scene) -> None:
    """A new task, an approval and a plain UPDATE of an approver; looking is allowed."""
    task = await scene.swarm.add(risk_level="high")
    hand = await scene.database.connect(scene.approver)
    for statement_ in (
        "INSERT INTO governance_tasks (title, task_type) VALUES ('t', 'command')",
        f"SELECT cancel_task('{task}', 'no')",
        f"UPDATE governance_tasks SET title = 'other' WHERE id = '{task}'",
    ):
        async with old(hand):
            await refused(hand, statement_)
    async with old(hand):
        assert await hand.fetch("SELECT * FROM why_idle") is not None
