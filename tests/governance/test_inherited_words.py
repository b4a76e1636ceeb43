"""What people wrote, declared and said goes along to a fork and to another plan of the goal."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.model import Claim, Completion, Evidence, Risk
from tests.fixtures_postgres import Database, Login, fresh_login
from tests.store.swarm import GATE, Swarm, open_swarm, plan

ADD = """
INSERT INTO governance_tasks (goal_id, title, description, task_type, risk_level,
                              requires_approval, acceptance_criteria, budget_usd)
VALUES ($1, 'careful', 'never touch billing', $2, 'high', true, 'it is fine', 2) RETURNING id
"""
WRITTEN = """
SELECT title, description, risk_level, requires_approval, acceptance_criteria, budget_usd
  FROM governance_tasks WHERE id = $1
"""
FEEDBACK = "SELECT payload ->> 'feedback' FROM governance_tasks WHERE id = $1"
SEND_BACK = "SELECT send_back($1, $2)"
APPROVE = "SELECT approve_task($1)"
ACCEPT = "SELECT accept_criterion($1, 1, 'I looked')"


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


@pytest.fixture
async def author(database: Database, approver_login: Login) -> asyncpg.Connection[asyncpg.Record]:
    """Who writes tasks."""
    return await database.connect(approver_login)


@pytest.fixture
async def other(database: Database) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Who decides on them."""
    async with fresh_login(database, "juggernaut_approver") as login:
        yield await database.connect(login)


async def ask(swarm: Swarm, task: UUID, kind: str = "executor", digest: str = "a") -> Claim:
    """Claim a task and come to its gate."""
    claim = await swarm.claim_one(await swarm.worker(kind, kind))
    assert claim.task.id == task
    await swarm.store.pass_gate(claim.lease, GATE, plan(digest * 64, Risk.HIGH))
    return claim


async def is_heir(
    swarm: Swarm,
    author: asyncpg.Connection[asyncpg.Record],
    heir: UUID,
    of: UUID,
    kind: str = "executor",
) -> None:
    """It says what the other says before any gate, and its author decides on neither."""
    written = await swarm.operator.fetchrow(WRITTEN, of)
    assert await swarm.operator.fetchrow(WRITTEN, heir) == written
    await ask(swarm, heir, kind, "c")
    for statement in (APPROVE, ACCEPT):
        with pytest.raises(asyncpg.PostgresError, match="changed (the )?task"):
            await author.fetchval(statement, heir)


async def test_a_fork_has_the_authors_and_the_feedback_of_its_origin(
    swarm: Swarm,
    author: asyncpg.Connection[asyncpg.Record],
    other: asyncpg.Connection[asyncpg.Record],
) -> None:
    """Sent back itself it is told both, with rounds of its own; it waits for the same needs."""
    origin = await author.fetchval(ADD, None, "code")
    await ask(swarm, origin)
    await other.execute(SEND_BACK, origin, "smaller")
    fork = await swarm.operator.fetchval("SELECT fork_task($1, 1)", origin)
    again = await swarm.operator.fetchval(
        "SELECT fork_task($1, 1, NULL, $2)", fork, f"{fork}-1.jsonl"
    )
    await swarm.operator.execute("SELECT cancel_task($1)", origin)
    for heir in (fork, again):
        await is_heir(swarm, author, heir, origin)
        assert "round 1 of 3" in await other.fetchval(SEND_BACK, heir, "and be quick")
        said = await swarm.operator.fetchval(FEEDBACK, heir)
        assert json.loads(said) == ["smaller", "and be quick"]
        await swarm.operator.execute("SELECT cancel_task($1)", heir)
    need = await swarm.add()
    late = await swarm.add(task_type="code", depends_on=[need])
    fork = await author.fetchval("SELECT fork_task($1, 1, NULL, $2)", late, f"{late}-1.jsonl")
    assert await swarm.status(fork) == "waiting"


async def test_another_plan_keeps_what_people_declared_and_said(
    swarm: Swarm,
    author: asyncpg.Connection[asyncpg.Record],
    other: asyncpg.Connection[asyncpg.Record],
) -> None:
    """Risk, approval, words, cap and feedback of the plan whose task failed."""
    goal = await author.fetchval("SELECT add_goal('the goal', 'do it')")
    first = await swarm.operator.fetchval("SELECT id FROM governance_tasks")
    await swarm.operator.execute("SELECT cancel_task($1)", first)
    planned = await author.fetchval(ADD, goal, "planning")
    await ask(swarm, planned, "orchestrator")
    await other.execute(SEND_BACK, planned, "no schema change")
    await ask(swarm, planned, "orchestrator", "b")
    await other.execute(APPROVE, planned)
    await other.execute(ACCEPT, planned)
    claim = await ask(swarm, planned, "orchestrator", "b")
    proposed = [{"key": "a", "title": "x", "task_type": "command"}]
    child = await swarm.pool.fetchval(
        "SELECT juggernaut.propose_tasks_v1($1, $2, $3, $4)",
        *(claim.lease.task_id, claim.lease.fence, claim.lease.secret, proposed),
    )
    proof = Evidence("planning", {"task_ids": [str(child)]})
    assert await swarm.store.complete(claim.lease, Completion(proof, (), "planned"))
    await swarm.operator.execute(
        "UPDATE governance_tasks SET max_attempts = 1 WHERE id = $1", child
    )
    lease = (await swarm.claim_one(await swarm.worker())).lease
    await swarm.pool.execute(
        "SELECT juggernaut.fail_v1($1, $2, $3, 'c', 'm', NULL)",
        *(lease.task_id, lease.fence, lease.secret),
    )
    await swarm.pool.execute("SELECT juggernaut.settle_goals_v1()")
    heir = await swarm.operator.fetchval(
        "SELECT id FROM governance_tasks WHERE payload ? 'replan' AND goal_id = $1", goal
    )
    assert json.loads(await swarm.operator.fetchval(FEEDBACK, heir)) == ["no schema change"]
    await is_heir(swarm, author, heir, planned, "orchestrator")
    assert not await swarm.operator.fetch("SELECT * FROM law_violations")


async def test_rounds_are_counted_by_what_was_said(
    swarm: Swarm,
    author: asyncpg.Connection[asyncpg.Record],
    other: asyncpg.Connection[asyncpg.Record],
) -> None:
    """Also where the same plan is asked for again and again."""
    task = await author.fetchval(ADD, None, "code")
    for number in (1, 2, 3):
        await ask(swarm, task)
        assert f"round {number} of 3" in await other.fetchval(SEND_BACK, task, "no")
    await ask(swarm, task)
    with pytest.raises(asyncpg.PostgresError, match="3 times already"):
        await other.fetchval(SEND_BACK, task, "no")
