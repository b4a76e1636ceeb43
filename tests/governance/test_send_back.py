"""A plan or a diff that is sent back: the next attempt knows why, and asks for something else."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

import asyncpg
import pytest

from tests.app.commands import good, run
from tests.fakes.puppets import PuppetAgent
from tests.fixtures_postgres import Database, Login
from tests.roles.bench import CRITERIA, GOOD_SLUG, Bench

SAID = "keep the old function as well"


async def waiting(bench: Bench, task: UUID) -> asyncpg.Record:
    """Read what waits for a decision on a task."""
    (row,) = await bench.rows("SELECT * FROM pending_approvals WHERE task_id = $1", task)
    return row


async def parked(bench: Bench, **columns: object) -> UUID:
    """A code task whose plan waits for a decision."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, risk_level="high", **columns)
    assert await bench.work("executor") == "parked"
    return task


async def test_the_next_plan_answers_the_feedback(bench: Bench) -> None:
    """Another digest, the feedback shown to who decides and told to the agent."""
    agent = PuppetAgent({"slug.py": GOOD_SLUG})
    bench.use(agent=agent)
    task = await parked(bench)
    first = await waiting(bench, task)
    statement = first["send_back_sql"].replace("what to change", SAID)
    assert "round 1 of 3" in await bench.approver.fetchval(statement)
    row = await bench.task(task)
    assert (row["status"], row["attempts"]) == ("pending", 0)
    assert json.loads(row["payload"])["feedback"] == [SAID]
    assert await bench.work("executor") == "parked"
    again = await waiting(bench, task)
    assert again["digest"] != first["digest"]
    assert SAID in again["plan"]
    await bench.approve(task)
    assert await bench.work("executor") == "completed"
    assert SAID in agent.requests[0].prompt
    closed = await bench.rows("SELECT status FROM approvals ORDER BY id")
    assert [item["status"] for item in closed] == ["rejected", "approved"]
    assert await bench.rows("SELECT * FROM law_violations") == []


async def test_a_diff_that_is_sent_back_is_written_again(bench: Bench) -> None:
    """The draft of the old diff is dropped; there is still one pull request."""
    agent = PuppetAgent(
        {"slug.py": GOOD_SLUG, "conftest.py": "X = 1\n"}, {"slug.py": GOOD_SLUG + "# again\n"}
    )
    bench.use(agent=agent)
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    assert await bench.work("executor") == "parked"
    assert (await waiting(bench, task))["gate"] == "diff"
    await bench.approver.execute("SELECT send_back($1, 'no conftest, please')", task)
    # The protected path made the task high: its plan needs a decision of its own now.
    assert await bench.work("executor") == "parked"
    assert (await waiting(bench, task))["gate"] == "plan"
    await bench.approve(task)
    assert await bench.work("executor") == "completed"
    assert "no conftest, please" in agent.requests[1].prompt
    assert len(await bench.rows("SELECT * FROM juggernaut.pull_requests")) == 1
    facts = await bench.facts(task)
    assert facts["files"] == ["slug.py"]


async def test_rounds_are_bounded_and_feedback_is_needed(bench: Bench) -> None:
    """After the last round there is a yes, a no or a cancel."""
    await bench.operator.execute(
        "UPDATE juggernaut.thresholds SET value = 1 WHERE name = 'feedback_rounds'"
    )
    task = await parked(bench)
    with pytest.raises(asyncpg.PostgresError, match="needs feedback"):
        await bench.approver.execute("SELECT send_back($1, ' ')", task)
    await bench.approver.execute("SELECT send_back($1, 'once')", task)
    with pytest.raises(asyncpg.PostgresError, match="does not wait"):
        await bench.approver.execute("SELECT send_back($1, 'twice')", task)
    assert await bench.work("executor") == "parked"
    with pytest.raises(asyncpg.PostgresError, match="already"):
        await bench.approver.execute("SELECT send_back($1, 'twice')", task)
    await bench.approver.execute("SELECT reject_task($1, 'no')", task)
    assert (await bench.task(task))["status"] == "rejected"


async def test_a_worker_sends_nothing_back(
    bench: Bench, database: Database, worker_login: Login
) -> None:
    """Neither by the function nor by writing the feedback itself."""
    task = await parked(bench)
    worker = await database.connect(worker_login)
    for statement in (
        "SELECT send_back($1, 'again')",
        "UPDATE governance_tasks SET payload = '{}' WHERE id = $1",
    ):
        with pytest.raises(asyncpg.PostgresError):
            await worker.execute(statement, task)
    assert (await waiting(bench, task))["have"] == 0


async def test_by_command(bench: Bench, database: Database, approver_login: Login) -> None:
    """One of the two has to be said."""
    task = await parked(bench)
    refused = await asyncio.to_thread(run, database, "reject", str(task), login=approver_login)
    assert refused.code == 2
    words = ("reject", str(task), "--send-back", SAID)
    done = await asyncio.to_thread(good, database, *words, login=approver_login)
    assert done["status"] == "pending"
    assert SAID in done["error_message"]
