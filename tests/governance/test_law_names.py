"""What attempts, leases, evidence, approvals and parents say of each other is looked at too."""

from __future__ import annotations

import asyncpg
import pytest

from tests.governance.plain_sql import NAME
from tests.governance.test_law_violations import BREAKS, DONE, OPEN, SETTLE, Busy, busy

__all__ = ["busy"]

NEW = "(SELECT id FROM governance_tasks WHERE title = 'new')"
PLAIN = "(SELECT id FROM governance_tasks WHERE title = 'plain')"
TASK = "UPDATE governance_tasks SET {} WHERE id = {}"
TRY = "UPDATE juggernaut.attempts SET {} WHERE task_id = {} AND ended_as {}"
HELD = (
    "lease_login = 'x', session_id = gen_random_uuid(), lease_until = now(), fence = 1,"
    " status = 'in_progress', ready = false, concurrency_key = 'k'"
)
FOREVER = "UPDATE juggernaut.{} SET since = '-infinity';"
OLD_LEASE = "UPDATE juggernaut.sessions SET opened_at = now() - interval '3 hours';" + TASK.format(
    "lease_until = now() - interval '2 hours'", OPEN
)
NAMED = (
    (
        "an open attempt that does not hold its task",
        "INSERT INTO juggernaut.attempts (task_id, fence, session_id, worker_id, login)"
        " SELECT task_id, 0, session_id, 'w', login FROM juggernaut.attempts"
        f" WHERE task_id = {OPEN} AND ended_at IS NULL",
    ),
    (
        "an open attempt that does not hold its task",
        TRY.format("ended_at = NULL, ended_as = NULL", DONE, "= 'completed'"),
    ),
    ("held without an open attempt of its own", TRY.format("ended_at = now()", OPEN, "IS NULL")),
    (
        "held by another login than its attempt's or session's",
        TASK.format("lease_login = 'x'", OPEN),
    ),
    (
        "held by a session that is not there",
        TASK.format("session_id = gen_random_uuid()", OPEN),
    ),
    ("held with another secret than its attempt's", TASK.format("lease_hash = NULL", OPEN)),
    ("held for an hour after its lease", OLD_LEASE),
    (
        "held for longer than a task may take",
        FOREVER.format("thresholds") + TASK.format("lease_until = '9999-01-01'", OPEN),
    ),
    (
        "two holders of one concurrency_key",
        "DROP INDEX tasks_concurrency;"
        + TASK.format("concurrency_key = 'k'", OPEN)
        + ";"
        + TASK.format(HELD, NEW),
    ),
    (
        "an attempt completed, and its task is not",
        TASK.format("status = 'failed', error_message = 'x'", DONE),
    ),
    ("completed, and its attempt was not", TRY.format("ended_as = 'retry'", DONE, "= 'completed'")),
    (
        "an attempt was cancelled, and its task is not",
        TRY.format("ended_as = 'cancelled'", OPEN, "= 'retry'"),
    ),
    (
        "two ends of one task",
        TRY.format("ended_as = 'completed'", DONE, "= 'parked'"),
    ),
    (
        "completed with evidence of another kind",
        "UPDATE juggernaut.evidence SET kind = 'test'",
    ),
    (
        "completed with evidence that lacks what it owes",
        "UPDATE juggernaut.evidence SET facts = '{}'",
    ),
    (
        "completed with evidence that is red",
        "UPDATE juggernaut.evidence SET facts = facts || '{\"exit_code\": 1}'",
    ),
    ("completed, and its criteria are gone", TASK.format("acceptance_criteria = '- go'", DONE)),
    (
        "approved by fewer people than the policy asks",
        "UPDATE juggernaut.risks SET approvers = 2 WHERE risk_level = 'high';"
        + FOREVER.format("risks"),
    ),
    (
        "approved too long before it was begun",
        FOREVER.format("thresholds")
        + "UPDATE approvals SET decided_at = decided_at - interval '1 year'",
    ),
    ("risk below that of its plan", "UPDATE juggernaut.plans SET risk_level = 'critical'"),
    (
        "merged another head than was approved",
        "UPDATE juggernaut.task_types SET required_facts = required_facts || '{head_sha}';"
        "UPDATE juggernaut.task_types SET facts_since = '-infinity';"
        + TASK.format("risk_level = 'critical'", DONE),
    ),
    (
        "untainted under a tainted parent",
        TASK.format("tainted = true", PLAIN)
        + ";"
        + TASK.format(f"parent_task_id = {PLAIN}, depth = 1", NEW),
    ),
    (
        "not deeper than its parent, or of another goal",
        TASK.format(
            f"parent_task_id = {OPEN}, created_by = (SELECT lease_login FROM governance_tasks"
            f" WHERE id = {OPEN})",
            NEW,
        ),
    ),
    ("a task with a budget_usd has no purse", TASK.format("budget_usd = 5", NEW)),
    ("pending, and neither ready nor due", TASK.format("ready = false", NEW)),
    (
        "pending before its needs are met",
        f"INSERT INTO juggernaut.dependencies (task_id, needs_id) SELECT {NEW}, {OPEN}",
    ),
)


async def test_each_broken_law_has_its_name(busy: Busy) -> None:
    """One database: each break is undone."""
    operator = busy.swarm.operator
    missed = []
    for law, statement in NAMED:
        await operator.execute("BEGIN")
        await operator.execute("ALTER TABLE juggernaut.sessions DISABLE TRIGGER ALL")
        await busy.break_law(statement)
        if law not in await busy.laws():
            missed.append((law, statement))
        await operator.execute("ROLLBACK")
    assert missed == []


async def test_who_asks_for_more_makes_no_law_breakers(busy: Busy) -> None:
    """More approvers or facts are owed by what ends from then on."""
    await busy.swarm.operator.execute(
        "UPDATE juggernaut.risks SET approvers = 3 WHERE risk_level IN ('medium', 'high');"
        "UPDATE juggernaut.task_types SET required_facts = required_facts || '{pull_number}'"
    )
    assert await busy.laws() == []


@pytest.mark.parametrize(
    "since", ["UPDATE juggernaut.sessions SET closed_at = opened_at WHERE worker_id = $1", ""]
)
async def test_who_was_a_worker_may_decide_later(busy: Busy, since: str) -> None:
    """A session that was closed by then, or a login that is no worker any more."""
    operator = busy.swarm.operator
    await busy.break_law(next(sql for law, sql in BREAKS if law == "approved by a worker"))
    assert await busy.laws() == ["approved by a worker"]
    login = "SELECT login FROM juggernaut.sessions WHERE worker_id = $1"
    name = await operator.fetchval(login, NAME)
    if since:
        await operator.execute(since, NAME)
    else:
        await operator.execute(f'REVOKE juggernaut_plain FROM "{name}"')
    assert await busy.laws() == []


async def test_a_day_purse_that_is_set_anew_owes_nothing(busy: Busy) -> None:
    """What was spent before its time is none of its; what comes then is."""
    operator = busy.swarm.operator
    reserved = "SELECT id FROM juggernaut.model_calls WHERE state = 'reserved'"
    await busy.swarm.pool.fetchval(SETTLE, await operator.fetchval(reserved), 0.2)
    await operator.execute("DELETE FROM budgets WHERE scope = 'day'; SELECT set_budget('day', 5)")
    assert await busy.laws() == []
    await busy.break_law("UPDATE budgets SET spent_usd = 1 WHERE scope = 'day'")
    assert await busy.laws() == ["a day costs otherwise than its purse says"]


async def test_facts_of_a_report_have_a_bound(busy: Busy) -> None:
    """A MiB of facts is enough."""
    say = "INSERT INTO reports (task_id, fence, title, body, facts) VALUES ({}, 1, 't', 'b', {})"
    with pytest.raises(asyncpg.CheckViolationError, match="facts_are_bounded"):
        await busy.swarm.operator.execute(
            say.format(OPEN, "jsonb_build_object('x', repeat('y', 1100000))")
        )
