"""`approvals`, `approve`, `reject`: who decides is the login, what is decided is the digest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.app.commands import good, run
from tests.fixtures_postgres import Database, Login, fresh_login

SOON = 0.2


@pytest.fixture
def waiting(database: Database, worker_login: Login) -> dict[str, Any]:
    """A task that a worker parked: it asks a person."""
    row = good(database, "task", "add", "Deploy", "--type", "command", "--command", "true")
    asyncio.run(park(database, worker_login, row["id"]))
    found: list[dict[str, Any]] = good(database, "approvals")
    assert [item["task_id"] for item in found] == [row["id"]]
    return found[0]


@pytest.fixture
async def second_approver(database: Database) -> AsyncIterator[Login]:
    """A second person."""
    async with fresh_login(database, "juggernaut_approver") as login:
        yield login


async def park(database: Database, login: Login, task: str, *, before: bool = False) -> None:
    """Register, claim and ask for approval as the worker instructions print it; or ask before."""
    connection = await asyncpg.connect(database.url_for(login.name, login.password))
    try:
        await connection.execute(
            "INSERT INTO worker_registry (worker_id, worker_type, status, last_heartbeat)"
            " VALUES ('w1', 'executor', 'active', now())"
        )
        if before:
            await connection.execute(f"SELECT request_approval('{task}', 'w1', 'it leaves')")
            return
        await connection.execute(
            "UPDATE governance_tasks SET status = 'in_progress', assigned_worker = 'w1',"
            f" started_at = now() WHERE id = '{task}' AND status = 'pending'"
        )
        await connection.execute(
            "UPDATE governance_tasks SET status = 'waiting_approval', requires_approval = true,"
            f" approval_reason = 'it leaves the house' WHERE id = '{task}'"
        )
    finally:
        await connection.close()


def test_an_approver_approves(
    database: Database, waiting: dict[str, Any], approver_login: Login
) -> None:
    """The login is recorded, the digest is the one that was shown."""
    start = waiting["task_id"][:8]
    done = good(database, "approve", start, "--note", "read it", login=approver_login)
    assert (done["status"], done["approved_by"]) == ("pending", approver_login.name)
    assert done["digest"] == waiting["digest"]
    assert good(database, "approvals") == []


def test_the_printed_sql_is_the_same_decision(
    database: Database, waiting: dict[str, Any], approver_login: Login
) -> None:
    """What the view prints runs unchanged in a session of the approver."""
    dsn = database.url_for(approver_login.name, approver_login.password)

    async def paste() -> str:
        """Run it as printed."""
        connection = await asyncpg.connect(dsn)
        try:
            return str(await connection.execute(waiting["approve_sql"]))
        finally:
            await connection.close()

    assert asyncio.run(paste()) == "SELECT 1"
    shown = good(database, "task", "show", waiting["task_id"])
    assert shown["approved_by"] == approver_login.name


def test_another_content_is_not_approved(database: Database, waiting: dict[str, Any]) -> None:
    """A digest that is not on the row any more is refused."""
    ran = run(database, "approve", waiting["task_id"], "--digest", "0" * 64)
    assert ran.code == 1
    assert f"the request has digest {waiting['digest']}" in ran.err
    assert "the plan changed" in ran.err


def test_the_table_leads_to_the_decision(
    database: Database, waiting: dict[str, Any], approver_login: Login
) -> None:
    """It has cost and the start of the digest, says how to read it whole, and that start is enough.

    What it says to type shows the plan behind that digest.
    """
    listed = run(database, "approvals")
    start = waiting["digest"][:12]
    assert start in listed.out
    assert waiting["digest"] not in listed.out
    assert "cost usd" in listed.out
    assert listed.err.count("\n") == 1
    assert "juggernaut task show ID" in listed.err
    assert run(database, "approvals", "--json").err == ""
    assert waiting["digest"] in run(database, "task", "show", waiting["task_id"], "--diff").out
    for wrong, code, told in (
        (start[:11], 2, "at least its first 12 signs"),
        ("", 2, "at least its first 12 signs"),
        ("x" * 12, 2, "is no digest"),
        ("0" * 12, 1, f"the request has digest {waiting['digest']}"),
        (waiting["digest"] + "0", 1, f"the request has digest {waiting['digest']}"),
    ):
        ran = run(database, "approve", start_of(waiting), "--digest", wrong, login=approver_login)
        assert (ran.code, ran.out, told in ran.err) == (code, "", True), ran.err
    done = good(
        database, "approve", start_of(waiting), "--digest", start.upper(), login=approver_login
    )
    assert (done["digest"], done["answer"]) == (waiting["digest"], "approved")
    nothing = run(database, "approvals")
    assert (nothing.out, nothing.err) == ("approvals: none\n", "")


def start_of(waiting: dict[str, Any]) -> str:
    """Give the start of the task's id, as the table shows it."""
    return str(waiting["task_id"])[:8]


def test_the_first_of_two_is_told_who_is_missing(
    database: Database, worker_login: Login, approver_login: Login, second_approver: Login
) -> None:
    """On standard error and as a field; the second time by the same login, that nothing changed.

    And whose approval has ended by now.
    """
    row = good(
        *(database, "task", "add", "Deploy", "--type", "command", "--command", "true"),
        *("--risk", "critical"),
    )
    asyncio.run(park(database, worker_login, row["id"], before=True))
    first = run(database, "approve", row["id"], "--json", login=approver_login)
    assert (first.code, first.json()["status"]) == (0, "waiting_approval")
    answer = "one more person has to approve (1 of 2 so far)"
    assert first.json()["answer"] == answer
    assert first.err == f"note: {answer}\n"
    again = run(database, "approve", row["id"], login=approver_login)
    assert again.code == 0
    assert again.err == f"note: this login approved it before, nothing changed; {answer}\n"
    asyncio.run(age(database, SOON))
    time.sleep(SOON)
    other = run(database, "approve", row["id"], login=second_approver)
    assert f"; the approval by {approver_login.name} of " in other.err
    assert " counted until " in other.err
    asyncio.run(age(database, 3600))
    last = run(database, "approve", row["id"], "--json", login=second_approver)
    assert (last.json()["status"], last.json()["answer"], last.err) == ("pending", "approved", "")


async def age(database: Database, seconds: float) -> None:
    """Set how long a decision counts."""
    connection = await asyncpg.connect(database.url)
    try:
        await connection.execute(
            "UPDATE juggernaut.thresholds SET value = $1 WHERE name = 'approval_seconds'", seconds
        )
    finally:
        await connection.close()


def test_a_worker_decides_nothing(
    database: Database, waiting: dict[str, Any], worker_login: Login
) -> None:
    """Neither approval nor rejection comes from who does the work."""
    for command in (["approve"], ["reject", "--reason", "x"]):
        refused = run(database, command[0], waiting["task_id"], *command[1:], login=worker_login)
        assert refused.code == 1
    assert len(good(database, "approvals")) == 1


def test_a_rejection_keeps_its_reason(
    database: Database, waiting: dict[str, Any], approver_login: Login
) -> None:
    """The task ends as rejected."""
    done = good(
        database, "reject", waiting["task_id"], "--reason", "not today", login=approver_login
    )
    assert (done["status"], done["error_message"]) == ("rejected", "not today")


def test_a_task_that_does_not_wait_is_said_so(database: Database) -> None:
    """The remedy is to ask why."""
    row = good(database, "task", "add", "Fix", "--type", "code")
    ran = run(database, "approve", row["id"])
    assert ran.code == 1
    assert "task why" in ran.err
