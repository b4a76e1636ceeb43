"""A final task changes no more: no column of it, by nobody who types."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.model import Risk
from tests.fixtures_postgres import Database, Login
from tests.invariants.scene import Connection
from tests.store.swarm import GATE, Swarm, command_completion, open_swarm, plan

FINAL = ("completed", "rejected", "cancelled")
# Columns that an approver may change, and some that only an operator may.
CHANGES = (
    *("priority = 'critical'", "run_after = now()", "error_message = 'zzz'", "title = 'other'"),
    *("description = 'other'", "payload = '{\"a\": 1}'", "deadline = now()", "approved_by = NULL"),
    *("acceptance_criteria = 'x'", "status = 'pending'"),
)
BY_OPERATOR = (
    *("attempts = attempts + 1", "max_attempts = 9", "assigned_worker = 'w'", "fence = fence + 1"),
    *("started_at = now()", "result = '{}'", "risk_level = 'critical'", "budget_usd = 1"),
    *(
        "requires_approval = NOT requires_approval",
        "on_failed_need = 'run'",
        "evidence_id = NULL",
        "repo = 'a/b'",
    ),
)
HOW_IT_ENDED = ("error_message = 'zzz'", "run_after = now()")


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


@pytest.fixture
async def person(database: Database, approver_login: Login) -> Connection:
    """An approver."""
    return await database.connect(approver_login)


async def ended(swarm: Swarm, person: Connection, status: str) -> UUID:
    """Bring a task to this end, by the ways there are."""
    task = await swarm.add(risk_level="high")
    if status == "cancelled":
        await person.execute("SELECT cancel_task($1, 'no')", task)
        return task
    session = await swarm.worker()
    claim = await swarm.claim_one(session)
    await swarm.store.pass_gate(claim.lease, GATE, plan(risk=Risk.HIGH))
    if status == "rejected":
        await person.execute("SELECT reject_task($1, 'no')", task)
        return task
    await person.execute("SELECT approve_task($1)", task)
    claim = await swarm.claim_one(session)
    await swarm.store.pass_gate(claim.lease, GATE, plan(risk=Risk.HIGH))
    if status == "failed":
        assert await swarm.store.fail(claim.lease, "x", "broke", retry_after=None) == "failed"
    else:
        assert await swarm.store.complete(claim.lease, command_completion())
    return task


@pytest.mark.parametrize("status", FINAL)
async def test_what_is_final_changes_no_more(swarm: Swarm, person: Connection, status: str) -> None:
    """By an approver, and by the operator at psql."""
    task = await ended(swarm, person, status)
    whole = "SELECT to_jsonb(t)::text FROM governance_tasks t WHERE id = $1"
    before = await swarm.operator.fetchval(whole, task)
    for hand, changes in ((person, CHANGES), (swarm.operator, CHANGES + BY_OPERATOR)):
        for change in changes:
            if status != "completed" and change in ("approved_by = NULL", "evidence_id = NULL"):
                continue  # they have none
            with pytest.raises(asyncpg.PostgresError, match="and that is final"):
                await hand.execute(f"UPDATE governance_tasks SET {change} WHERE id = $1", task)
    assert await swarm.operator.fetchval(whole, task) == before


async def test_how_a_task_failed_stays_until_it_is_tried_again(
    swarm: Swarm, person: Connection
) -> None:
    """Its text may be mended before the retry; its stated cause may not."""
    task = await ended(swarm, person, "failed")
    for hand in (person, swarm.operator):
        for change in HOW_IT_ENDED:
            with pytest.raises(asyncpg.PostgresError, match="how it ended does not change"):
                await hand.execute(f"UPDATE governance_tasks SET {change} WHERE id = $1", task)
    await person.execute("UPDATE governance_tasks SET description = 'mended' WHERE id = $1", task)
    assert await person.fetchval("SELECT retry_task($1)", task) == "pending"
    assert (await swarm.claim_one(await swarm.worker())).task.id == task


async def test_the_needs_of_a_cancelled_task_may_complete(swarm: Swarm, person: Connection) -> None:
    """They are counted down; nothing else of it changes."""
    need = await swarm.add()
    task = await swarm.add(depends_on=[need])
    await person.execute("SELECT cancel_task($1, 'no')", task)
    claim = await swarm.claim_one(await swarm.worker())
    assert await swarm.store.complete(claim.lease, command_completion())
    row = await swarm.operator.fetchrow(
        "SELECT status, waits FROM governance_tasks WHERE id = $1", task
    )
    assert row is not None
    assert tuple(row) == ("cancelled", 0)
