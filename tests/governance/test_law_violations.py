"""What must not be is seen: each law broken around its guards gives exactly its row."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.model import Claim, Risk
from tests.fixtures_postgres import Database, Login
from tests.governance.plain_sql import NAME, PlainWorker
from tests.invariants.scene import Connection
from tests.store.swarm import GATE, Swarm, command_completion, open_swarm, plan

# As a superuser goes around the guards: every trigger of these tables is off.
GUARDED = (
    *("public.governance_tasks", "public.approvals", "juggernaut.plans", "public.budgets"),
    *("juggernaut.decision_log", "juggernaut.model_calls", "juggernaut.attempts"),
    "juggernaut.evidence",
)
CALL = "SELECT juggernaut.reserve_v2($1, $2, $3, 'm', 'p', 'd', $4, 100, NULL, NULL)"
SETTLE = "SELECT juggernaut.settle_v1($1, $2, '{\"tokens\": 50}')"
OPEN = "(SELECT id FROM governance_tasks WHERE title = 'open')"
DONE = "(SELECT id FROM governance_tasks WHERE title = 'done')"
DAY = "UPDATE budgets SET {} WHERE scope = 'day'"
BALANCE = "a purse does not balance"
COST = "a day costs otherwise than its purse says"
BREAKS = (
    (BALANCE, DAY.format("reserved_usd = reserved_usd + 1")),
    (BALANCE, DAY.format("reserved_tokens = reserved_tokens + 1")),
    (BALANCE, "UPDATE juggernaut.model_calls SET reserved_usd = 0.1 WHERE state = 'reserved'"),
    (COST, DAY.format("spent_usd = 0")),
    (COST, DAY.format("spent_usd = spent_usd + 0.01")),
    (COST, DAY.format("spent_tokens = spent_tokens - 1")),
    (COST, "UPDATE juggernaut.model_calls SET cost_usd = 0.9 WHERE cost_usd > 0.2"),
    (
        "risk below the floor of its type",
        "UPDATE juggernaut.task_types SET since = '-infinity';"
        f"UPDATE governance_tasks SET task_type = 'code', risk_level = 'low' WHERE id = {OPEN}",
    ),
    (
        "tried more often than allowed",
        f"UPDATE governance_tasks SET attempts = max_attempts + 1 WHERE id = {OPEN}",
    ),
    ("attempts without a fence", "UPDATE governance_tasks SET attempts = 1 WHERE title = 'new'"),
    (
        "a fence behind its attempts",
        "UPDATE juggernaut.attempts SET task_id = (SELECT id FROM governance_tasks WHERE title ="
        f" 'new') WHERE task_id = {OPEN} AND ended_as = 'retry'",
    ),
    (
        "nested deeper than allowed",
        "UPDATE juggernaut.thresholds SET since = '-infinity';"
        f"UPDATE governance_tasks SET depth = 5 WHERE id = {OPEN}",
    ),
    (
        "approved bytes that its digest does not stand for",
        f'UPDATE approvals SET body = \'{{"what": "else"}}\' WHERE task_id = {DONE}',
    ),
    (
        "approved bytes that its digest does not stand for",
        "UPDATE approvals SET body = jsonb_set(body, '{title}', '\"else\"')"
        " WHERE task_id = (SELECT id FROM governance_tasks WHERE title = 'plain')",
    ),
    (
        "completed on a plan that nobody approved",
        f"UPDATE juggernaut.plans SET digest = repeat('b', 64) WHERE task_id = {DONE}"
        " AND fence = (SELECT max(fence) FROM juggernaut.attempts)",
    ),
    (
        "approved by a worker",
        "UPDATE juggernaut.decision_log d SET decided_by = s.login FROM juggernaut.sessions s"
        f" WHERE s.worker_id = '{NAME}' AND d.approval_id ="
        f" (SELECT id FROM approvals WHERE task_id = {DONE})",
    ),
)


@dataclass(frozen=True, slots=True)
class Busy:
    """A database that did a bit of everything, lawfully."""

    swarm: Swarm
    approver: Connection

    async def laws(self) -> list[str]:
        """Give the laws that are broken."""
        rows = await self.swarm.operator.fetch("SELECT law FROM law_violations")
        return [row["law"] for row in rows]

    async def break_law(self, statement: str) -> None:
        """Write around every guard."""
        for table in GUARDED:
            await self.swarm.operator.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        await self.swarm.operator.execute(statement)


async def call(swarm: Swarm, claim: Claim, usd: float) -> UUID:
    """Reserve a call of a model."""
    lease = claim.lease
    made: UUID = await swarm.pool.fetchval(CALL, lease.task_id, lease.fence, lease.secret, usd)
    return made


@pytest.fixture
async def busy(
    database: Database, worker_login: Login, approver_login: Login, plain_login: Login
) -> AsyncIterator[Busy]:
    """Claims, calls, approvals, failures, a plain-SQL approval, and one task that is open."""
    async with open_swarm(database, worker_login) as swarm:
        approver = await database.connect(approver_login)
        plain = PlainWorker(await database.connect(plain_login))
        await plain.register()
        session = await swarm.worker()
        task = await swarm.add(title="done", risk_level="high")
        claim = await swarm.claim_one(session)
        await swarm.store.pass_gate(claim.lease, GATE, plan(risk=Risk.HIGH))
        await approver.execute("SELECT approve_task($1)", task)
        claim = await swarm.claim_one(session)
        await swarm.store.pass_gate(claim.lease, GATE, plan(risk=Risk.HIGH))
        for usd, cost in ((1.0, 0.25), (0.1, 0.15)):  # the second costs more than was set aside
            await swarm.pool.fetchval(SETTLE, await call(swarm, claim, usd), cost)
        assert await swarm.store.complete(claim.lease, command_completion())
        asked = await swarm.add(title="plain", risk_level="high")
        await plain.connection.execute("SELECT request_approval($1, $2, 'why')", asked, NAME)
        await approver.execute("SELECT approve_task($1)", asked)
        await swarm.operator.execute(
            "UPDATE governance_tasks SET run_after = now() + interval '1 day' WHERE id = $1", asked
        )
        await swarm.add(title="open")
        claim = await swarm.claim_one(session)
        await swarm.store.fail(claim.lease, "x", "broke", retry_after=0.0)
        await swarm.operator.execute(
            "UPDATE governance_tasks SET run_after = NULL WHERE title = 'open'"
        )
        claim = await swarm.claim_one(session)
        await call(swarm, claim, 0.5)
        await swarm.add(title="new")
        yield Busy(swarm, approver)


async def test_a_busy_database_breaks_no_law(busy: Busy) -> None:
    """The watchdog finds nothing either."""
    assert await busy.laws() == []
    await busy.swarm.operator.execute("SELECT juggernaut.sweep_v1(); SELECT juggernaut.detect_v1()")
    alerts = "SELECT count(*) FROM open_alerts WHERE kind = 'law_violation'"
    assert await busy.swarm.operator.fetchval(alerts) == 0


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("task_types", "risk_floor = 'critical' WHERE task_type = 'command'"),
        ("thresholds", "value = 0 WHERE name = 'task_depth'"),
    ],
)
async def test_a_bound_that_changes_makes_no_violations(
    busy: Busy, table: str, change: str
) -> None:
    """Tasks of before are not held to it."""
    await busy.break_law(
        f"UPDATE governance_tasks SET depth = 1 WHERE id = {OPEN};"
        f"UPDATE juggernaut.{table} SET since = '-infinity'"
    )
    assert await busy.laws() == []
    await busy.swarm.operator.execute(f"UPDATE juggernaut.{table} SET {change}")
    assert await busy.laws() == []


@pytest.mark.parametrize(("law", "statement"), BREAKS)
async def test_what_breaks_a_law_is_seen(busy: Busy, law: str, statement: str) -> None:
    """One row, of that law; the watchdog raises it."""
    await busy.break_law(statement)
    assert await busy.laws() == [law]
    await busy.swarm.operator.execute("SELECT juggernaut.detect_v1()")
    titles = await busy.swarm.operator.fetch(
        "SELECT title FROM open_alerts WHERE kind = 'law_violation'"
    )
    assert [row["title"] for row in titles] == [law]


async def test_what_is_below_zero_or_above_its_cap_is_seen(busy: Busy) -> None:
    """Where even the constraints are gone."""
    await busy.swarm.operator.execute(
        "ALTER TABLE budgets DROP CONSTRAINT never_overdrawn;"
        "INSERT INTO budgets (scope, cap_usd, spent_usd) VALUES ('type:code', 1, 2)"
    )
    assert await busy.laws() == [BALANCE]


async def test_an_attempt_that_a_person_gave_is_no_violation(busy: Busy) -> None:
    """A reported merge that the forge never showed was one attempt; retry_task gives another."""
    await busy.break_law(
        f"UPDATE governance_tasks SET attempts = max_attempts + 1 WHERE id = {OPEN};"
        f"UPDATE juggernaut.attempts SET ended_as = 'awaiting_merge' WHERE task_id = {OPEN}"
        " AND ended_as = 'retry'"
    )
    assert await busy.laws() == []


async def test_the_reasons_for_which_a_law_would_be_broken_are_refused(busy: Busy) -> None:
    """A task is never allowed fewer attempts than it had, and a new type brings its floor."""
    operator = busy.swarm.operator
    with pytest.raises(asyncpg.PostgresError, match="was tried 2 times already"):
        await operator.execute("UPDATE governance_tasks SET max_attempts = 1 WHERE title = 'open'")
    task = await busy.swarm.add(title="low", task_type="report")
    risk = "SELECT risk_level FROM governance_tasks WHERE id = $1"
    assert await operator.fetchval(risk, task) == "low"
    await operator.execute("UPDATE governance_tasks SET task_type = 'code' WHERE id = $1", task)
    assert await operator.fetchval(risk, task) == "medium"


async def test_the_proof_shows_what_is_proven(database: Database, plain_login: Login) -> None:
    """A merge that a plain-SQL worker reports is not, before somebody looked."""
    worker = PlainWorker(await database.connect(plain_login))
    await worker.register()
    operator = await database.connect()
    task = await operator.fetchval(
        "INSERT INTO governance_tasks (title, task_type) VALUES ('t', 'code') RETURNING id"
    )
    await worker.report_merge(task)
    status = "SELECT status FROM governance_tasks WHERE id = $1"
    assert await operator.fetchval(status, task) == "awaiting_merge"
    assert await operator.fetch("SELECT * FROM proof") == []
