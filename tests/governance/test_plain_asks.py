"""A plain-SQL worker also asks and claims by moves of the row: bounded as by the function."""

from __future__ import annotations

import asyncpg
import pytest

from tests.fixtures_postgres import Database, fresh_login
from tests.governance.plain_sql import NAME, PlainWorker
from tests.roles.bench import Bench

AT_ONCE = 10
ASK_HELD = (
    "UPDATE governance_tasks SET status = 'waiting_approval', requires_approval = true,"
    " approval_reason = 'please' WHERE id = $1"
)
ASK = "SELECT request_approval($1, $2, 'please')"
APPROVE = "SELECT approve_task($1)"


async def test_who_holds_tasks_asks_no_more_than_who_does_not(
    bench: Bench, plain: PlainWorker
) -> None:
    """The move counts with the function's requests; what needs an approval is always asked for."""
    for number in range(AT_ONCE):
        task = await bench.add_task("test")
        if number % 2:
            await plain.connection.execute(ASK, task, NAME)
        else:
            await plain.claim(task)
            await plain.connection.execute(ASK_HELD, task)
    last = await bench.add_task("test")
    await plain.claim(last)
    with pytest.raises(asyncpg.PostgresError, match="10 requests open that no rule calls for"):
        await plain.connection.execute(ASK_HELD, last)
    assert (await bench.task(last))["status"] == "in_progress"
    risky = await bench.add_task("test", risk_level="high")
    await plain.connection.execute(ASK, risky, NAME)


async def test_asking_again_takes_no_approval_away(bench: Bench, plain: PlainWorker) -> None:
    """Neither by the move of what is held; an edit voids it, and then it is asked for."""
    task = await bench.add_task("test", risk_level="high")
    await plain.connection.execute(ASK, task, NAME)
    await bench.approver.execute(APPROVE, task)
    await plain.claim(task)
    with pytest.raises(asyncpg.PostgresError, match="is approved as it stands"):
        await plain.connection.execute(ASK_HELD, task)
    rows = await bench.rows("SELECT status FROM approvals WHERE task_id = $1", task)
    assert [row["status"] for row in rows] == ["approved"]


async def test_the_approval_of_who_may_not_decide_any_more_opens_nothing(
    bench: Bench, plain: PlainWorker, database: Database
) -> None:
    """The claim asks for it, as the end does."""
    task = await bench.add_task("test", risk_level="high")
    await plain.connection.execute(ASK, task, NAME)
    async with fresh_login(database, "juggernaut_approver") as gone:
        approver = await database.connect(gone)
        await approver.execute(APPROVE, task)
        await bench.operator.execute(f"REVOKE juggernaut_approver FROM {gone.name}")
        with pytest.raises(asyncpg.PostgresError, match="approved it and may not decide any more"):
            await plain.claim(task)
        await plain.connection.execute(ASK, task, NAME)
        await bench.approver.execute(APPROVE, task)
        await plain.claim(task)
        assert (await bench.task(task))["status"] == "in_progress"


async def test_nobody_ends_a_wait_by_hand(bench: Bench) -> None:
    """A task whose need then fails would wait for ever, and `why` would call it ready."""
    need = await bench.add_task("test")
    task = await bench.add_task("test", depends_on=[need])
    move = "UPDATE governance_tasks SET status = 'pending' WHERE id = $1"
    for hand in (bench.approver, bench.operator):
        with pytest.raises(asyncpg.PostgresError, match="goes on by itself when they are"):
            await hand.execute(move, task)
    await bench.approver.execute("SELECT cancel_task($1, 'no')", need)
    assert (await bench.task(task))["status"] == "blocked"
