"""What people are told: whose approval ended, what is short, what is no kind of worker."""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg
import pytest

from juggernaut.adapters.postgres.board import open_board
from tests.fixtures_postgres import Database, Login, fresh_login
from tests.governance.plain_sql import NAME, PlainWorker
from tests.roles.bench import Bench

ASK = "SELECT request_approval($1, $2, 'please')"
APPROVE = "SELECT approve_task($1)"
AGE = "UPDATE juggernaut.thresholds SET value = $1 WHERE name = 'approval_seconds'"
WANT = "UPDATE juggernaut.risks SET approvers = $1 WHERE risk_level = 'high'"
COUNTS = "SELECT value FROM juggernaut.thresholds WHERE name = 'approval_seconds'"
MOVE = "UPDATE governance_tasks SET status = 'pending', approved_by = 'read it' WHERE id = $1"
ALERTS = "SELECT count(*) FROM open_alerts WHERE kind = 'approval_waits'"
REGISTER = "INSERT INTO worker_registry (worker_id, worker_type, status) VALUES ('W', $1, $2)"
SOON = 0.2


async def asked(bench: Bench, plain: PlainWorker, risk: str) -> UUID:
    """A task that waits for people."""
    task = await bench.add_task("test", risk_level=risk)
    await plain.connection.execute(ASK, task, NAME)
    return task


async def claim_refused(plain: PlainWorker, task: UUID) -> str:
    """Give what the claim is refused with."""
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await plain.claim(task)
    first = str(refusal.value).splitlines()[0]
    return first.partition("needs an approval that still counts: ")[2]


async def test_the_claim_says_what_became_of_the_approval(
    bench: Bench, plain: PlainWorker, database: Database
) -> None:
    """Never asked, edited, too few, expired, and by somebody who left: each by its name."""
    task = await bench.add_task("test", risk_level="high")
    assert await claim_refused(plain, task) == "nobody approved it"
    await plain.connection.execute(ASK, task, NAME)
    await bench.approver.execute(APPROVE, task)
    await bench.operator.execute("UPDATE governance_tasks SET title = 'x' WHERE id = $1", task)
    assert await claim_refused(plain, task) == "what was approved is not what it says now"
    raised = await asked(bench, plain, "high")
    await bench.approver.execute(APPROVE, raised)
    await bench.operator.execute(WANT, 2)
    assert await claim_refused(plain, raised) == "1 approved it, and 2 have to"
    await bench.operator.execute(WANT, 1)
    await bench.operator.execute(AGE, SOON)
    await asyncio.sleep(SOON)
    who = await bench.approver.fetchval("SELECT session_user")
    said = await claim_refused(plain, raised)
    assert said.startswith(f"the approval by {who} of ")
    assert " counted until " in said
    await bench.operator.execute(AGE, 3600)
    left = await asked(bench, plain, "high")
    async with fresh_login(database, "juggernaut_approver") as gone:
        await (await database.connect(gone)).execute(APPROVE, left)
        await bench.operator.execute(f"REVOKE juggernaut_approver FROM {gone.name}")
        said = await claim_refused(plain, left)
        assert said == f"{gone.name} approved it and may not decide any more"


async def test_the_next_approver_hears_whose_yes_has_ended(
    bench: Bench, plain: PlainWorker, database: Database, approver_login: Login
) -> None:
    """As a notice, for the function and for the move of the row; of what counts nothing is said."""
    task = await asked(bench, plain, "critical")
    heard: list[str] = []
    first = await database.connect(approver_login)
    async with fresh_login(database, "juggernaut_approver") as login:
        last = await database.connect(login)
        for hand in (first, last):
            hand.add_log_listener(lambda _, note: heard.append(str(note)))
        await first.execute(APPROVE, task)
        assert not [line for line in heard if "counted until" in line]
        await bench.operator.execute(AGE, SOON)
        await asyncio.sleep(SOON)
        for decide in (APPROVE, MOVE):
            heard.clear()
            await last.execute(decide, task)
            ended = [line for line in heard if "counted until" in line]
            assert f"the approval by {approver_login.name} of " in ended[0]


async def test_the_demo_leaves_how_long_a_decision_counts(
    bench: Bench, plain: PlainWorker, database: Database
) -> None:
    """Its escalation is of its own task alone, and its database is one to go on in."""
    shown, other = await asked(bench, plain, "high"), await asked(bench, plain, "critical")
    before = await bench.operator.fetchval(COUNTS)
    async with open_board(database.url) as board:
        await board.rows("hurry_duties")
        await board.rows("hurry_alert", shown, 60.0)
        await bench.operator.execute("SELECT juggernaut.detect_v1()")
        assert await bench.operator.fetchval(ALERTS) == 0
        await board.rows("hurry_alert", shown, 0.0)
    await bench.operator.execute("SELECT juggernaut.detect_v1()")
    assert await bench.operator.fetchval(ALERTS) == 1
    assert await bench.operator.fetchval(COUNTS) == before
    assert (await bench.task(other))["status"] == "waiting_approval"


async def test_what_is_short_or_no_kind_is_said_so(bench: Bench, plain: PlainWorker) -> None:
    """Evidence by its length, a worker by the names that there are; none of it as a constraint."""
    task = await bench.add_task("test")
    await plain.claim(task)
    short = "Merged https://github.com/o/r/pull/7"
    with pytest.raises(asyncpg.PostgresError, match="has 36 characters, and needs 40: say what"):
        await plain.complete(task, f"  {short} ")
    with pytest.raises(asyncpg.PostgresError, match="cannot be completed without evidence"):
        await plain.complete(task, " ")
    for kind, status, named in (
        ("EXECUTOR", "active", "worker_type 'EXECUTOR' is no kind of worker"),
        (None, "active", "worker_type NULL is no kind of worker"),
        ("executor", "ACTIVE", "status 'ACTIVE' is none of a worker"),
    ):
        with pytest.raises(asyncpg.PostgresError, match=named) as refusal:
            await plain.connection.execute(REGISTER, kind, status)
        assert ("executor" if kind != "executor" else "active, idle") in str(refusal.value.hint)
