"""A plan becomes tasks only when it may; forks and recommendations stay what they came from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.errors import LawRefused
from juggernaut.domain.model import Claim, ProposedTask, Risk
from tests.fixtures_postgres import Database, Login, fresh_login
from tests.store.swarm import GATE, Swarm, command_completion, open_swarm, plan

PROPOSE = "SELECT juggernaut.propose_tasks_v1($1, $2, $3, $4)"
TWO = ("a", "b")
CHILDREN = [{"key": key, "title": key, "task_type": "command"} for key in TWO]
A_MOMENT_SECONDS = 0.4


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


@pytest.fixture
async def approver(database: Database, approver_login: Login) -> asyncpg.Connection[asyncpg.Record]:
    """The connection of a person who approves."""
    return await database.connect(approver_login)


async def propose(swarm: Swarm, claim: Claim) -> int:
    """Propose two tasks; gives how many there are."""
    tasks = tuple(ProposedTask(key, key, "", "command", ()) for key in TWO)
    return len(await swarm.store.propose_tasks(claim.lease, tasks))


@pytest.mark.parametrize("gate", ["critical", "tainted", "asked for"])
async def test_an_unapproved_plan_makes_no_tasks(
    swarm: Swarm, database: Database, approver: asyncpg.Connection[asyncpg.Record], gate: str
) -> None:
    """It is refused until as many people as it needs have approved it."""
    if gate == "tainted":
        await swarm.operator.execute("SELECT add_goal('g', trusted => false)")
        await swarm.operator.execute("UPDATE governance_tasks SET risk_level = 'medium'")
    else:
        how = {"risk_level": "critical"} if gate == "critical" else {"requires_approval": True}
        await swarm.add(task_type="planning", **how)
    risk = Risk.CRITICAL if gate == "critical" else Risk.MEDIUM
    orchestrator = await swarm.worker("o", "orchestrator")
    claim = await swarm.claim_one(orchestrator)
    with pytest.raises(LawRefused, match="its plan was not approved"):
        await propose(swarm, claim)
    assert await swarm.operator.fetchval("SELECT count(*) FROM governance_tasks") == 1
    await swarm.store.pass_gate(claim.lease, GATE, plan(risk=risk))
    await approver.execute("SELECT approve_task($1)", claim.task.id)
    async with fresh_login(database, "juggernaut_approver") as login:
        if gate == "critical":
            second = await database.connect(login)
            await second.execute("SELECT approve_task($1)", claim.task.id)
        claim = await swarm.claim_one(orchestrator)
        assert await propose(swarm, claim) == len(TWO)


async def two_planners(swarm: Swarm) -> tuple[UUID, Claim, Claim]:
    """A goal of two planning tasks, both held, with room for two tasks more."""
    goal: UUID = await swarm.operator.fetchval("SELECT add_goal('g')")
    await swarm.add(task_type="planning", goal_id=goal)
    await swarm.operator.execute(
        "UPDATE juggernaut.thresholds SET value = 5 WHERE name = 'goal_tasks'"
    )
    orchestrator = await swarm.worker("o", "orchestrator")
    return goal, await swarm.claim_one(orchestrator), await swarm.claim_one(orchestrator)


async def test_two_planners_at_once_count_each_other(swarm: Swarm) -> None:
    """The second waits for the first, and finds the goal full."""
    goal, first, second = await two_planners(swarm)
    lease = first.lease
    async with swarm.pool.acquire() as connection, connection.transaction():
        await connection.fetch(PROPOSE, lease.task_id, lease.fence, lease.secret, CHILDREN)
        waiting = asyncio.create_task(propose(swarm, second))
        await asyncio.wait({waiting}, timeout=A_MOMENT_SECONDS)
    with pytest.raises(LawRefused, match="more than 5 tasks"):
        await waiting
    counted = await swarm.operator.fetchval(
        "SELECT count(*) FROM governance_tasks WHERE goal_id = $1", goal
    )
    assert counted == len((first, second)) + len(TWO)


async def test_no_task_outlives_the_cancelling_of_its_goal(swarm: Swarm) -> None:
    """A person cancels while a plan is being written down."""
    goal, first, _ = await two_planners(swarm)
    lease = first.lease
    async with swarm.pool.acquire() as connection, connection.transaction():
        await connection.fetch(PROPOSE, lease.task_id, lease.fence, lease.secret, CHILDREN)
        waiting = asyncio.create_task(swarm.operator.execute("SELECT cancel_goal($1)", goal))
        await asyncio.wait({waiting}, timeout=A_MOMENT_SECONDS)
    await waiting
    left = await swarm.operator.fetch("SELECT FROM governance_tasks WHERE status <> 'cancelled'")
    assert left == []


async def goal_with_a_fork(
    swarm: Swarm, approver: asyncpg.Connection[asyncpg.Record]
) -> tuple[UUID, UUID, UUID]:
    """A goal, a failed code task of it, and the fork that a person made of that."""
    goal = await swarm.operator.fetchval("SELECT add_goal('g', trusted => true)")
    origin = await swarm.add(task_type="code", goal_id=goal, priority="critical")
    claim = await swarm.claim_one(await swarm.worker(handles=("code",)))
    await swarm.store.fail(claim.lease, "broken", "it broke", retry_after=None)
    fork = await approver.fetchval("SELECT fork_task($1, 1)", origin)
    return goal, origin, fork


async def test_a_fork_is_paused_with_its_goal(
    swarm: Swarm, approver: asyncpg.Connection[asyncpg.Record]
) -> None:
    """And goes on with it."""
    goal, _, fork = await goal_with_a_fork(swarm, approver)
    session = await swarm.worker(handles=("code",))
    await approver.execute("SELECT pause_swarm('goal:' || $1::text, 'stop')", str(goal))
    assert not await swarm.store.claim(session, 1)
    await approver.execute("SELECT resume_swarm('goal:' || $1::text)", str(goal))
    assert (await swarm.claim_one(session)).task.id == fork


async def test_a_fork_is_cancelled_with_its_goal(
    swarm: Swarm, approver: asyncpg.Connection[asyncpg.Record]
) -> None:
    """And none is made of what was cancelled."""
    goal, origin, fork = await goal_with_a_fork(swarm, approver)
    await approver.execute("SELECT cancel_goal($1)", goal)
    assert await swarm.status(fork) == "cancelled"
    with pytest.raises(asyncpg.PostgresError, match="is cancelled"):
        await approver.fetchval("SELECT fork_task($1, 1)", origin)


async def test_a_fork_takes_no_room_of_a_plan(
    swarm: Swarm, approver: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Nor does it change how the goal ends: that is counted by the children of the plan."""
    _, _, fork = await goal_with_a_fork(swarm, approver)
    await swarm.operator.execute(
        "UPDATE juggernaut.thresholds SET value = 4 WHERE name = 'goal_tasks'"
    )
    planning = await swarm.claim_one(await swarm.worker("o", "orchestrator", ("planning",)))
    assert await propose(swarm, planning) == len(TWO)
    made = await swarm.operator.fetch(
        "SELECT id FROM governance_tasks WHERE parent_task_id = $1", planning.task.id
    )
    done = command_completion()
    evidence = type(done.evidence)("planning", {"task_ids": [str(row["id"]) for row in made]})
    await swarm.store.complete(planning.lease, type(done)(evidence, (), "planned"))
    commands = await swarm.worker("c", handles=("command",))
    for _ in TWO:
        claim = await swarm.claim_one(commands)
        await swarm.store.complete(claim.lease, command_completion())
    assert (await swarm.store.settle_goals())["completed"] == 1
    assert await swarm.status(fork) == "pending"


@pytest.mark.parametrize("tainted", [True, False])
async def test_a_recommendation_is_as_tainted_as_its_task(
    swarm: Swarm, approver: asyncpg.Connection[asyncpg.Record], tainted: bool
) -> None:
    """The goal that comes of it, and the plan of that."""
    goal = await swarm.operator.fetchval("SELECT add_goal('g', trusted => $1)", not tainted)
    await swarm.add(task_type="strategy", goal_id=goal)
    claim = await swarm.claim_one(await swarm.worker("s", "strategist", ("strategy",)))
    rows = [{"kind": "goal", "title": "as they say", "rationale": "they said so"}]
    (advice,) = await swarm.store.save_recommendations(claim.lease, rows)
    made = await approver.fetchval("SELECT accept_recommendation($1)", advice)
    found = await swarm.operator.fetchrow(
        "SELECT g.tainted AS goal, t.tainted AS task"
        " FROM goals g JOIN governance_tasks t ON t.goal_id = g.id WHERE g.id = $1",
        made,
    )
    assert found is not None
    assert (found["goal"], found["task"]) == (tainted, tainted)
