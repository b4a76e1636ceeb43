"""Nobody waits for a need that ended, also when it ends while somebody begins to wait for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.model import Claim
from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm, command_completion, open_swarm

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

END = {
    "failed": "SELECT juggernaut.fail_v1($1, $2, $3, 'x', 'no', NULL)",
    "cancelled": "SELECT cancel_task($1, 'no') WHERE ($2::bigint, $3::uuid) IS NOT NULL",
}
AGAIN = (
    "SELECT retry_task($1)",
    "UPDATE governance_tasks SET status = 'pending' WHERE id = $1",
)
BECOMES = {"block": "blocked", "fail": "failed", "run": "pending"}
WAITS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
TRIES = 500
LINKS = 300
STACK_KB = 300
CHAIN = f"""
INSERT INTO governance_tasks (id, title, task_type, on_failed_need, depends_on)
SELECT lpad(n::text, 32, '0')::uuid, 'link', 'command', 'fail',
       CASE WHEN n > 1 THEN ARRAY[lpad((n - 1)::text, 32, '0')::uuid] ELSE '{{}}' END
  FROM generate_series(1, {LINKS}) n
"""


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


async def ends(swarm: Swarm, connection: Connection, how: str) -> UUID:
    """Claim a task and end it on this connection."""
    claim = await swarm.claim_one(await swarm.worker())
    return await end(connection, claim, how)


async def end(connection: Connection, claim: Claim, how: str) -> UUID:
    """End a claimed task on this connection."""
    lease = claim.lease
    await connection.execute(END[how], lease.task_id, lease.fence, lease.secret)
    return claim.task.id


async def after_the_lock(swarm: Swarm, waiting: asyncio.Task[object]) -> None:
    """Wait until the task is done or waits for a lock."""
    for _ in range(TRIES):
        if waiting.done() or await swarm.operator.fetchval(WAITS):
            return
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("policy", BECOMES)
@pytest.mark.parametrize("how", END)
async def test_a_need_that_ends_while_its_dependant_is_added(
    swarm: Swarm, database: Database, worker_login: Login, how: str, policy: str
) -> None:
    """The dependant learns of an end that was not committed when it was added."""
    need = await swarm.add()
    login = worker_login if how == "failed" else None
    ender, adder = await database.connect(login), await database.connect()
    claim = await swarm.claim_one(await swarm.worker())
    async with ender.transaction():
        assert await end(ender, claim, how) == need
        adding = asyncio.create_task(
            adder.fetchval(
                "INSERT INTO governance_tasks (title, task_type, depends_on, on_failed_need)"
                " VALUES ('d', 'command', ARRAY[$1::uuid], $2) RETURNING id",
                need,
                policy,
            )
        )
        await after_the_lock(swarm, adding)
    task = await adding
    assert await swarm.status(task) == BECOMES[policy]
    why = await swarm.operator.fetchval("SELECT reason FROM why($1)", task)
    assert (str(need) in why) == (policy != "run")
    assert not await swarm.operator.fetch("SELECT * FROM law_violations")


async def failed_and_claimed_again(swarm: Swarm, worker: Connection) -> tuple[UUID, Claim]:
    """A task that failed with its need, and the need in progress for the second time."""
    need = await swarm.add()
    task = await swarm.add(depends_on=[need], on_failed_need="fail")
    assert await ends(swarm, worker, "failed") == need
    await swarm.operator.execute("SELECT retry_task($1)", need)
    return task, await swarm.claim_one(await swarm.worker())


@pytest.mark.parametrize("again", AGAIN)
async def test_a_need_that_ends_while_its_dependant_is_tried_again(
    swarm: Swarm, database: Database, worker_login: Login, again: str
) -> None:
    """Who tries again waits for the need's end, and is told of it."""
    ender, person = await database.connect(worker_login), await database.connect()
    task, claim = await failed_and_claimed_again(swarm, ender)
    async with ender.transaction():
        await end(ender, claim, "failed")
        trying = asyncio.create_task(person.execute(again, task))
        await after_the_lock(swarm, trying)
    with pytest.raises(asyncpg.PostgresError, match="retry that one first"):
        await trying
    assert await swarm.status(task) == "failed"


async def test_trying_again_and_completing_the_need_lock_nobody_out(
    swarm: Swarm, database: Database, worker_login: Login
) -> None:
    """retry_task waits for the need before it holds who needs it, as a completion does."""
    worker, person = await database.connect(worker_login), await database.connect()
    task, claim = await failed_and_claimed_again(swarm, worker)
    lease = claim.lease
    async with worker.transaction():
        held = "SELECT juggernaut.still_held_v1($1, $2, $3)"
        assert await worker.fetchval(held, lease.task_id, lease.fence, lease.secret)
        trying = asyncio.create_task(person.execute(AGAIN[0], task))
        await after_the_lock(swarm, trying)
        done = command_completion().evidence
        assert await worker.fetchval(
            "SELECT juggernaut.complete_v1($1, $2, $3, $4, $5, NULL, 's', NULL, NULL)",
            *(lease.task_id, lease.fence, lease.secret, done.kind, json.dumps(done.facts)),
        )
    await trying
    assert await swarm.status(task) == "pending"


@pytest.mark.parametrize(
    ("how", "hint"), [("failed", "retry that one first"), ("cancelled", "add it again without")]
)
async def test_what_is_blocked_by_a_dead_need_stays_blocked(
    swarm: Swarm, database: Database, worker_login: Login, how: str, hint: str
) -> None:
    """Neither retry_task nor an accepted criterion lets it wait for what never comes."""
    need = await swarm.add()
    task = await swarm.add(depends_on=[need], acceptance_criteria="it works")
    login = worker_login if how == "failed" else None
    assert await ends(swarm, await database.connect(login), how) == need
    with pytest.raises(asyncpg.PostgresError, match=hint):
        await swarm.operator.execute("SELECT retry_task($1)", task)
    with pytest.raises(asyncpg.PostgresError, match=hint):
        await swarm.operator.execute(
            "UPDATE governance_tasks SET status = 'pending' WHERE id = $1", task
        )
    await swarm.operator.execute("SELECT accept_criterion($1, 1, 'I looked')", task)
    assert await swarm.status(task) == "blocked"


async def test_trying_one_of_two_dead_needs_again_is_not_enough(
    swarm: Swarm, database: Database, worker_login: Login
) -> None:
    """The dependant names the other one; it goes on when both can complete."""
    worker = await database.connect(worker_login)
    needs = [await swarm.add(), await swarm.add()]
    task = await swarm.add(depends_on=needs)
    for need in needs:
        assert await ends(swarm, worker, "failed") == need
    await swarm.operator.execute("SELECT retry_task($1)", needs[0])
    assert await swarm.status(task) == "blocked"
    assert str(needs[1]) in await swarm.operator.fetchval("SELECT reason FROM why($1)", task)
    await swarm.operator.execute("SELECT retry_task($1)", needs[1])
    assert await swarm.status(task) == "waiting"


async def test_a_need_that_ends_while_the_other_is_tried_again(
    swarm: Swarm, database: Database, worker_login: Login
) -> None:
    """What was blocked by the one does not wait for the other, which is dead now."""
    ender, person = await database.connect(worker_login), await database.connect()
    first, second = await swarm.add(), await swarm.add()
    task = await swarm.add(depends_on=[first, second])
    assert await ends(swarm, ender, "failed") == first
    claim = await swarm.claim_one(await swarm.worker())
    async with ender.transaction():
        assert await end(ender, claim, "failed") == second
        trying = asyncio.create_task(person.execute(AGAIN[0], first))
        await after_the_lock(swarm, trying)
    await trying
    assert await swarm.status(task) == "blocked"
    assert str(second) in await swarm.operator.fetchval("SELECT reason FROM why($1)", task)


async def test_a_task_tried_again_that_waits_frees_its_dependants(
    swarm: Swarm, database: Database, worker_login: Login
) -> None:
    """They are blocked by what is not dead any more, though it has to wait itself."""
    first = await swarm.add()
    second = await swarm.add(depends_on=[first], on_failed_need="fail")
    third = await swarm.add(depends_on=[second])
    await ends(swarm, await database.connect(worker_login), "failed")
    for task in (first, second):
        await swarm.operator.execute("SELECT retry_task($1)", task)
    assert [await swarm.status(task) for task in (second, third)] == ["waiting", "waiting"]


async def test_a_long_chain_ends_without_a_deep_stack(swarm: Swarm) -> None:
    """Each link fails, and only what is not in the chain goes on."""
    await swarm.operator.execute(CHAIN)
    await swarm.operator.execute(f"SET max_stack_depth = '{STACK_KB}kB'")
    await swarm.operator.execute(
        "SELECT cancel_task(id, 'no') FROM governance_tasks WHERE status = 'pending'"
    )
    states = "SELECT status, count(*)::integer AS n FROM governance_tasks GROUP BY 1 ORDER BY 1"
    rows = await swarm.operator.fetch(states)
    assert [tuple(row) for row in rows] == [("cancelled", 1), ("failed", LINKS - 1)]
    assert not await swarm.operator.fetch("SELECT * FROM law_violations")


async def test_who_fails_a_waiting_task_by_hand_ends_its_dependants(swarm: Swarm) -> None:
    """Only what the law itself failed on its way down is followed elsewhere."""
    first = await swarm.add()
    second = await swarm.add(depends_on=[first])
    third = await swarm.add(depends_on=[second])
    await swarm.operator.execute(
        "UPDATE governance_tasks SET status = 'failed', error_message = 'no' WHERE id = $1", second
    )
    assert await swarm.status(third) == "blocked"


@pytest.mark.parametrize(
    ("status", "law"),
    [
        ("failed", "waits for a task that will never complete"),
        ("completed", "waits for nothing"),
    ],
)
async def test_a_row_that_waits_for_ever_breaks_the_law(
    swarm: Swarm, status: str, law: str
) -> None:
    """Made behind the back of the triggers; a waiting row of good standing is not named."""
    need = await swarm.add()
    task = await swarm.add(depends_on=[need])
    assert not await swarm.operator.fetch("SELECT * FROM law_violations")
    claim = await swarm.claim_one(await swarm.worker())
    if status == "completed":
        assert await swarm.store.complete(claim.lease, command_completion())
        await swarm.operator.execute("UPDATE juggernaut.dependencies SET met = false")
        await swarm.operator.execute("ALTER TABLE governance_tasks DISABLE TRIGGER USER")
        await swarm.operator.execute(
            "UPDATE governance_tasks SET status = 'waiting', waits = 1, ready = false"
            " WHERE id = $1",
            task,
        )
    else:
        await swarm.operator.execute("ALTER TABLE governance_tasks DISABLE TRIGGER follow_update")
        await swarm.store.fail(claim.lease, "x", "no", retry_after=None)
    rows = await swarm.operator.fetch("SELECT law, task_id FROM law_violations")
    assert [tuple(row) for row in rows] == [(law, task)]
