"""What a plain-SQL worker's statement leaves in the row is what the law knows, and bounded."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from tests.governance.plain_sql import NAME, PlainWorker
from tests.roles.bench import Bench

LONG_AGO = datetime(1999, 1, 1, tzinfo=UTC)
REASON = 2_000
AT_ONCE = 10
FREE = 20
SAID = "12 passed, 0 failed at the head of main, exit code 0"
FORGED_CLAIM = """
UPDATE governance_tasks SET status = 'in_progress', assigned_worker = $2, started_at = '1999-01-01',
       completed_at = '1999-01-01', completion_evidence = 'forged', approval_reason = 'mine'
 WHERE id = $1
"""
FORGED_END = """
UPDATE governance_tasks SET status = $2, started_at = '1999-01-01', completed_at = '1999-01-01',
       completion_evidence = $3, error_message = 'why' WHERE id = $1
"""
ALL_AT_ONCE = "SELECT count(request_approval(id, $1, 'please')) FROM governance_tasks WHERE ready"
ASK = "SELECT request_approval($1, $2, 'please')"
BACK = "UPDATE governance_tasks SET status = 'pending' WHERE id = $1"


async def claimed(bench: Bench, plain: PlainWorker, **columns: object) -> UUID:
    """A test task that the plain-SQL worker holds."""
    task: UUID = await bench.add_task("test", **columns)
    await plain.claim(task)
    return task


async def test_a_claim_leaves_nothing_that_a_claim_does_not_say(
    bench: Bench, plain: PlainWorker
) -> None:
    """No end, no evidence, no reason, and its own time."""
    task = await bench.add_task("test")
    await plain.connection.execute(FORGED_CLAIM, task, NAME)
    row = await bench.task(task)
    assert (row["completed_at"], row["completion_evidence"]) == (None, None)
    assert row["approval_reason"] is None
    assert row["started_at"] > LONG_AGO


@pytest.mark.parametrize("status", ["completed", "failed", "pending", "waiting_approval"])
async def test_an_end_leaves_when_it_began(bench: Bench, plain: PlainWorker, status: str) -> None:
    """Whatever the holder writes; only an end has a time of its end."""
    task = await claimed(bench, plain)
    began = (await bench.task(task))["started_at"]
    await plain.connection.execute(FORGED_END, task, status, SAID)
    row = await bench.task(task)
    assert (row["status"], row["started_at"]) == (status, began)
    if status in ("completed", "failed"):
        assert row["completed_at"] >= began
    else:
        assert (row["completed_at"], row["completion_evidence"]) == (None, None)


async def test_the_same_holds_without_a_move(bench: Bench, plain: PlainWorker) -> None:
    """A reason is cut as when an approval is asked for; there is no end before the end."""
    task = await claimed(bench, plain)
    began = (await bench.task(task))["started_at"]
    await plain.connection.execute(
        "UPDATE governance_tasks SET approval_reason = repeat('x', 5000000),"
        " started_at = '1999-01-01', completed_at = '1999-01-01' WHERE id = $1",
        task,
    )
    row = await bench.task(task)
    assert len(row["approval_reason"]) == REASON
    assert (row["started_at"], row["completed_at"]) == (began, None)


async def test_nobody_parks_the_queue_with_one_statement(bench: Bench, plain: PlainWorker) -> None:
    """Of tasks that no rule wants approved a login asks for some, and not for all there are."""
    for _ in range(AT_ONCE + 1):
        await bench.add_task("test")
    with pytest.raises(asyncpg.PostgresError, match="10 requests open that no rule calls for"):
        await plain.connection.fetchval(ALL_AT_ONCE, NAME)
    ready = await bench.rows("SELECT id FROM governance_tasks WHERE ready")
    assert len(ready) == AT_ONCE + 1
    for row in ready[:AT_ONCE]:
        await plain.connection.execute(ASK, row["id"], NAME)
    last = ready[AT_ONCE]["id"]
    with pytest.raises(asyncpg.PostgresError, match="10 requests open"):
        await plain.connection.execute(ASK, last, NAME)
    risky = await bench.add_task("test", risk_level="high")
    await plain.connection.execute(ASK, risky, NAME)  # this one needs it
    await bench.approver.execute("SELECT approve_task($1)", ready[0]["id"])
    await plain.connection.execute(ASK, last, NAME)
    assert (await bench.task(last))["status"] == "waiting_approval"


async def test_giving_back_without_end_has_an_end(bench: Bench, plain: PlainWorker) -> None:
    """Free at first, then an attempt each time, and the last one ends the task with a reason."""
    task = await bench.add_task("test", max_attempts=2)
    for attempts in (*([0] * FREE), 1):
        await plain.claim(task)
        await plain.connection.execute(BACK, task)
        row = await bench.task(task)
        assert (row["status"], row["attempts"]) == ("pending", attempts)
    await plain.claim(task)
    await plain.connection.execute(BACK, task)
    row = await bench.task(task)
    assert (row["status"], row["attempts"]) == ("failed", 2)
    assert row["error_message"].startswith("given back too often")
