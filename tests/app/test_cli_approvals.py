"""`approvals`, `approve`, `reject`: who decides is the login, what is decided is the digest."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.app.commands import good, run
from tests.fixtures_postgres import Database, Login


@pytest.fixture
def waiting(database: Database, worker_login: Login) -> dict[str, Any]:
    """A task that a worker parked: it asks a person."""
    row = good(database, "task", "add", "Deploy", "--type", "command", "--command", "true")
    asyncio.run(park(database, worker_login, row["id"]))
    found: list[dict[str, Any]] = good(database, "approvals")
    assert [item["task_id"] for item in found] == [row["id"]]
    return found[0]


async def park(database: Database, login: Login, task: str) -> None:
    """Register, claim and ask for approval, each as the worker instructions print it."""
    connection = await asyncpg.connect(database.url_for(login.name, login.password))
    try:
        await connection.execute(
            "INSERT INTO worker_registry (worker_id, worker_type, status, last_heartbeat)"
            " VALUES ('w1', 'executor', 'active', now())"
        )
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
    assert "the plan changed" in ran.err


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
