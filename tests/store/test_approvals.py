"""Gates, decisions and who may take them, against a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.errors import BudgetExhausted, LawRefused
from juggernaut.domain.model import Claim, Criterion, Learning, ProposedTask, Risk
from juggernaut.domain.purse import Most, Reservation
from tests.fixtures_postgres import Database, Login
from tests.store.swarm import GATE, Swarm, command_completion, open_swarm, plan


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


async def parked(swarm: Swarm, risk: Risk = Risk.HIGH) -> tuple[UUID, Claim]:
    """A task that waits for an approval."""
    task = await swarm.add(risk_level=risk.value)
    claim = await swarm.claim_one(await swarm.worker())
    decision = await swarm.store.pass_gate(claim.lease, GATE, plan(risk=risk))
    assert decision is not None
    assert not decision.go
    assert await swarm.status(task) == "waiting_approval"
    return task, claim


async def test_low_risk_goes_at_once(swarm: Swarm) -> None:
    """Low and medium need nobody."""
    await swarm.add(risk_level="low")
    claim = await swarm.claim_one(await swarm.worker())
    decision = await swarm.store.pass_gate(claim.lease, GATE, plan())
    assert decision is not None
    assert decision.go


async def test_high_risk_waits_and_goes_after_one_approval_by_plain_sql(
    swarm: Swarm, database: Database, approver_login: Login
) -> None:
    """The statement that pending_approvals prints approves exactly these bytes."""
    task, first = await parked(swarm)
    assert not await swarm.store.complete(first.lease, command_completion())
    approver = await database.connect(approver_login)
    statement = await approver.fetchval("SELECT approve_sql FROM pending_approvals")
    await approver.execute(statement)
    claim = await swarm.claim_one(await swarm.worker())
    assert claim.task.id == task
    assert claim.task.attempts == 1, "asking burned no attempt"
    decision = await swarm.store.pass_gate(claim.lease, GATE, plan(risk=Risk.HIGH))
    assert decision is not None
    assert decision.go
    assert await swarm.store.complete(claim.lease, command_completion())
    row = await swarm.operator.fetchrow("SELECT * FROM governance_tasks WHERE id = $1", task)
    assert row is not None
    assert row["approved_by"] == approver_login.name
    assert not await swarm.operator.fetch("SELECT * FROM law_violations")


async def test_a_changed_plan_asks_again(
    swarm: Swarm, database: Database, approver_login: Login
) -> None:
    """An approval of one digest is no approval of another."""
    task, _ = await parked(swarm)
    approver = await database.connect(approver_login)
    await approver.execute("SELECT approve_task($1)", task)
    claim = await swarm.claim_one(await swarm.worker())
    other = plan(digest="b" * 64, risk=Risk.HIGH)
    decision = await swarm.store.pass_gate(claim.lease, GATE, other)
    assert decision is not None
    assert not decision.go


async def test_an_edit_voids_the_approval(
    swarm: Swarm, database: Database, approver_login: Login
) -> None:
    """A person edits the task after approval: it is asked for again, same digest or not."""
    task, _ = await parked(swarm)
    approver = await database.connect(approver_login)
    await approver.execute("SELECT approve_task($1)", task)
    await swarm.operator.execute(
        "UPDATE governance_tasks SET description = 'other' WHERE id = $1", task
    )
    claim = await swarm.claim_one(await swarm.worker())
    decision = await swarm.store.pass_gate(claim.lease, GATE, plan(risk=Risk.HIGH))
    assert decision is not None
    assert not decision.go


async def test_critical_needs_two_people(
    swarm: Swarm, database: Database, approver_login: Login
) -> None:
    """One approver twice is one; the operator is the second."""
    task, _ = await parked(swarm, Risk.CRITICAL)
    # the operator created the task, so the second person is another login
    approver = await database.connect(approver_login)
    for _ in range(2):
        await approver.execute(
            "UPDATE governance_tasks SET status = 'pending', approved_by = 'me' WHERE id = $1", task
        )
    assert await swarm.status(task) == "waiting_approval"
    with pytest.raises(asyncpg.PostgresError, match="cannot approve"):
        await swarm.operator.execute("SELECT approve_task($1)", task)


async def test_reject_ends_the_task(
    swarm: Swarm, database: Database, approver_login: Login
) -> None:
    """A rejection is final and keeps its reason."""
    task, _ = await parked(swarm)
    approver = await database.connect(approver_login)
    await approver.execute("SELECT reject_task($1, 'too risky')", task)
    assert await swarm.status(task) == "rejected"
    reason = await swarm.operator.fetchval("SELECT reason FROM why($1)", task)
    assert "too risky" in reason


HOSTILE = (
    "UPDATE governance_tasks SET status = 'pending' WHERE id = $1",
    "UPDATE governance_tasks SET status = 'completed', completion_evidence = 'done it all,"
    " forty characters and more of it' WHERE id = $1",
    "UPDATE governance_tasks SET risk_level = 'low' WHERE id = $1",
    "UPDATE governance_tasks SET approved_by = 'me' WHERE id = $1",
    "UPDATE governance_tasks SET fence = 99 WHERE id = $1",
    "UPDATE governance_tasks SET requires_approval = false WHERE id = $1",
    "UPDATE governance_tasks SET status = 'cancelled' WHERE id = $1",
    "SELECT approve_task($1)",
    "SELECT juggernaut.decide($1, 'approved', 'me')",
    "INSERT INTO approvals (task_id, gate, digest, body, risk_level, reason, need, requested_by,"
    " status) SELECT $1, 'plan', repeat('a', 64), '{}', 'high', 'x', 1, 'x', 'approved'",
    "INSERT INTO juggernaut.decisions (approval_id, decided_by, decision)"
    " SELECT id, 'x', 'approved' FROM approvals WHERE task_id = $1",
    "INSERT INTO juggernaut.evidence (task_id, fence, kind, facts, source, recorded_by)"
    " VALUES ($1, 1, 'command', '{}', 'verifier', 'x')",
    "DELETE FROM governance_tasks WHERE id = $1",
    "DELETE FROM juggernaut.grants WHERE $1::uuid IS NOT NULL",
    "INSERT INTO juggernaut.grants (worker_type, task_type)"
    " SELECT 'executor', 'planning' WHERE $1::uuid IS NOT NULL",
    "SELECT grant_capability('executor', 'planning') WHERE $1::uuid IS NOT NULL",
    "SELECT set_budget('day', 1000) WHERE $1::uuid IS NOT NULL",
    "SELECT lease_hash, secret_hash FROM governance_tasks, juggernaut.sessions WHERE $1 IS NULL",
    "UPDATE budgets SET cap_usd = 1000 WHERE $1::uuid IS NOT NULL",
    "UPDATE execution_logs SET message = 'x' WHERE $1::uuid IS NOT NULL",
    "DELETE FROM execution_logs WHERE $1::uuid IS NOT NULL",
    "SELECT juggernaut.record_event('x', $1::text, NULL, NULL)",
    "SELECT juggernaut.settle($1, 0, '{}', 'settled')",
)


@pytest.mark.parametrize("statement", HOSTILE)
async def test_a_worker_login_cannot_decide(
    swarm: Swarm, database: Database, worker_login: Login, statement: str
) -> None:
    """Hostile statements as a worker's login are refused, and the task stays as it was."""
    task, _ = await parked(swarm)
    worker = await database.connect(worker_login)
    with pytest.raises(asyncpg.PostgresError):
        await worker.execute(statement, task)
    assert await swarm.status(task) == "waiting_approval"


async def test_set_role_and_replication_role_are_refused(
    swarm: Swarm, database: Database, worker_login: Login
) -> None:
    """A worker cannot become somebody else or switch triggers off."""
    worker = await database.connect(worker_login)
    for statement in (
        "SET ROLE juggernaut_owner",
        "SET ROLE juggernaut_approver",
        "SET SESSION AUTHORIZATION juggernaut",
        "SET session_replication_role = 'replica'",
        "ALTER TABLE governance_tasks DISABLE TRIGGER ALL",
        "CREATE TABLE public.x (i int)",
        "CREATE TEMP TABLE grants (i int)",
    ):
        with pytest.raises(asyncpg.PostgresError):
            await worker.execute(statement)
    assert await swarm.operator.fetchval("SELECT ok FROM audit_verify()")


async def test_purse_for_ten_lets_exactly_ten_out(swarm: Swarm) -> None:
    """64 parallel reservations on a purse for 10: ten go out, the others are told the purse."""
    await swarm.add(budget_usd=Decimal(10))
    claim = await swarm.claim_one(await swarm.worker())

    async def ask() -> bool:
        """Reserve one dollar."""
        try:
            await swarm.store.reserve(
                claim.lease, Reservation("m", "p", "d", Most(Decimal(1), 100))
            )
        except BudgetExhausted as error:
            assert "purse task:" in str(error)
            return False
        return True

    granted = await asyncio.gather(*(ask() for _ in range(64)))
    assert sum(granted) == 10


async def test_settling_gives_the_rest_back(swarm: Swarm) -> None:
    """Reserved is set aside; settled is what it cost."""
    await swarm.add()
    claim = await swarm.claim_one(await swarm.worker())
    call = await swarm.store.reserve(claim.lease, Reservation("m", "p", "d", Most(Decimal(5), 100)))
    await swarm.store.settle(call, Decimal("0.25"), {"input_tokens": 10})
    row = await swarm.operator.fetchrow("SELECT * FROM spend WHERE scope = 'day'")
    assert row is not None
    assert (row["spent_usd"], row["reserved_usd"]) == (Decimal("0.25"), 0)


async def test_goal_is_planned_done_and_closed_with_proof(swarm: Swarm) -> None:
    """add_goal makes a planning task; its tasks' completion closes the goal."""
    goal = await swarm.operator.fetchval("SELECT add_goal('ship it', '', '/repo')")
    orchestrator = await swarm.worker("o", "orchestrator")
    executor = await swarm.worker("e", "executor")
    planning = await swarm.claim_one(orchestrator)
    found = await swarm.store.goal(planning.lease)
    assert found is not None
    assert found.id == goal
    tasks = (
        ProposedTask("b", "second", "", "command", (Criterion(1, "ok", ("true",)),), needs=("a",)),
        ProposedTask("a", "first", "", "command", ()),
    )
    ids = await swarm.store.propose_tasks(planning.lease, tasks)
    assert await swarm.store.propose_tasks(planning.lease, tasks[:1]) == ids, "created once"
    planned = command_completion()
    evidence = type(planned.evidence)("planning", {"task_ids": [str(i) for i in ids]})
    assert await swarm.store.complete(
        planning.lease, type(planned)(evidence, (), "planned 2 tasks")
    )
    learned = Learning("technique", "true is quick", "it returned at once in both runs", 0.4)
    one = await swarm.claim_one(executor)
    await swarm.store.complete(one.lease, command_completion(learning=learned))
    two = await swarm.claim_one(executor)
    await swarm.store.complete(two.lease, command_completion(1))
    assert (await swarm.store.settle_goals())["completed"] == 1
    outcome = await swarm.operator.fetchval("SELECT outcome::text FROM goals WHERE id = $1", goal)
    assert str(two.task.id) in outcome
    recalled = await swarm.store.recall(two.task, 5)
    assert recalled == () or recalled[0].title == "true is quick"


async def test_cycles_and_unknown_types_are_refused(swarm: Swarm) -> None:
    """A plan with a cycle, or with a type that nobody handles, creates nothing."""
    await swarm.operator.execute("SELECT add_goal('g')")
    planning = await swarm.claim_one(await swarm.worker("o", "orchestrator"))
    cycle = (
        ProposedTask("a", "a", "", "command", (), needs=("b",)),
        ProposedTask("b", "b", "", "command", (), needs=("a",)),
    )
    with pytest.raises(LawRefused, match="cycle"):
        await swarm.store.propose_tasks(planning.lease, cycle)
    with pytest.raises(LawRefused, match="dance"):
        await swarm.store.propose_tasks(planning.lease, (ProposedTask("a", "a", "", "dance", ()),))
    assert await swarm.operator.fetchval("SELECT count(*) FROM governance_tasks") == 1


async def test_failed_task_asks_for_one_new_plan(swarm: Swarm) -> None:
    """A goal is planned again once; the second failure ends it with the reason."""
    goal = await swarm.operator.fetchval("SELECT add_goal('g')")
    orchestrator, executor = await swarm.worker("o", "orchestrator"), await swarm.worker("e")
    for counted in ("replanned", "failed"):
        planning = await swarm.claim_one(orchestrator)
        ids = await swarm.store.propose_tasks(
            planning.lease, (ProposedTask("a", "a", "", "command", ()),)
        )
        done = command_completion()
        evidence = type(done.evidence)("planning", {"task_ids": [str(i) for i in ids]})
        await swarm.store.complete(planning.lease, type(done)(evidence, (), "planned"))
        claim = await swarm.claim_one(executor)
        await swarm.store.fail(claim.lease, "broken", "it broke", retry_after=None)
        assert (await swarm.store.settle_goals())[counted] == 1
    row = await swarm.operator.fetchrow("SELECT * FROM goals WHERE id = $1", goal)
    assert row is not None
    assert row["status"] == "failed"
    assert "it broke" in row["outcome"]


async def test_alerts_are_raised_once_and_resolved(swarm: Swarm) -> None:
    """A blocked task raises one alert, twice seen; it goes when the task moves on."""
    task = await swarm.add()
    claim = await swarm.claim_one(await swarm.worker())
    await swarm.store.block(claim.lease, "no key", "an operator")
    await swarm.store.detect()
    await swarm.store.detect()
    row = await swarm.operator.fetchrow("SELECT * FROM open_alerts WHERE kind = 'task_blocked'")
    assert row is not None
    assert row["times"] == 2
    await swarm.operator.execute("SELECT retry_task($1)", task)
    await swarm.store.detect()
    assert not await swarm.operator.fetch("SELECT * FROM open_alerts")


async def test_audit_chain_names_a_changed_row(swarm: Swarm) -> None:
    """Sealed events verify; one changed behind the triggers' back does not."""
    await swarm.add()
    await swarm.store.sweep()
    row = await swarm.operator.fetchrow("SELECT * FROM audit_verify()")
    assert row is not None
    assert row["ok"]
    assert row["sealed"] > 0
    await swarm.operator.execute(
        "ALTER TABLE juggernaut.events DISABLE TRIGGER append_only;"
        " UPDATE juggernaut.events SET login = 'somebody else'"
    )
    row = await swarm.operator.fetchrow("SELECT * FROM audit_verify()")
    assert row is not None
    assert not row["ok"]


async def test_schedules_fire_once(swarm: Swarm) -> None:
    """Two processes that see the same due point create one task."""
    await swarm.operator.execute(
        "INSERT INTO schedules (name, cron, title, task_type, next_run_at)"
        " VALUES ('daily', '0 6 * * *', 'daily report', 'report', now() - interval '1 hour')"
    )
    (due,) = await swarm.store.due_schedules()
    at = str(due["scheduled_at"])
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    fired = await asyncio.gather(*(swarm.store.fire_schedule("daily", at, later) for _ in range(4)))
    assert sorted(fired) == [False, False, False, True]
    assert await swarm.store.due_schedules() == ()


async def test_metrics_rest_on_rows(swarm: Swarm) -> None:
    """Figures carry ids and the tasks they come from."""
    await swarm.add()
    claim = await swarm.claim_one(await swarm.worker())
    await swarm.store.complete(claim.lease, command_completion())
    metrics = await swarm.store.metrics(24)
    rows = metrics["rows"]
    assert isinstance(rows, list)
    done = next(row for row in rows if row["metric"] == "tasks_completed")
    assert done["value"] == 1
    assert done["rests_on"] == [str(claim.task.id)]
