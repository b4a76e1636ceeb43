"""The seven prohibited actions of the worker instructions, each tripped on purpose.

The table in docs/security.md names the same actions and guards.
"""

from __future__ import annotations

import re
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.errors import LawRefused
from juggernaut.domain.model import Completion, Evidence
from tests.fixtures_postgres import Database, Login
from tests.governance.plain_sql import PlainWorker
from tests.roles.bench import PYTHON, Bench
from tests.tidy.reading import REPO

HARMLESS = [PYTHON, "-c", "print(1)"]
ROOT_GONE = ["sh", "-c", "rm -rf / || true"]


async def held_back(bench: Bench, title: str, command: list[str]) -> asyncpg.Record:
    """Let an executor take a command task on: it has to park before anything ran."""
    task = await bench.add_task(
        "command", title=title, description="x", payload={"command": command}
    )
    assert await bench.work("executor") == "parked"
    assert (await bench.task(task))["status"] == "waiting_approval"
    assert await bench.rows("SELECT * FROM juggernaut.effects WHERE task_id = $1", task) == []
    (row,) = await bench.rows("SELECT * FROM pending_approvals WHERE task_id = $1", task)
    return row


async def still_waits(bench: Bench, task: UUID) -> bool:
    """Approve once, and see whether that is not enough."""
    await bench.approve(task)
    return bool((await bench.task(task))["status"] == "waiting_approval")


async def refused(connection: asyncpg.Connection[asyncpg.Record], *statements: str) -> None:
    """Run statements that the database has to refuse."""
    for statement in statements:
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute(statement)


async def test_financial_transactions_wait_for_two_people(bench: Bench) -> None:
    """The words make the task critical, whatever it was declared as."""
    for title in ("Charge the customer for May", "Transfer $500 to Bob"):
        row = await held_back(bench, title, HARMLESS)
        assert (row["risk_level"], row["need"]) == ("critical", 2)
        assert "financial transaction" in " ".join(row["risk_factors"])
        assert await still_waits(bench, row["task_id"])


@pytest.mark.parametrize(
    ("title", "command"),
    [
        ("Purge production data of 2019", HARMLESS),
        ("Tidy up", ["sh", "-c", "psql -c 'DELETE FROM users'"]),
        ("Delete all production data, then deploy the app to production", ROOT_GONE),
    ],
)
async def test_production_data_is_not_deleted(
    bench: Bench, title: str, command: list[str], database: Database, worker_login: Login
) -> None:
    """By word or by command it is critical; the swarm's own rows are deleted by nobody."""
    row = await held_back(bench, title, command)
    assert (row["risk_level"], row["need"]) == ("critical", 2)
    assert await still_waits(bench, row["task_id"])
    worker = await database.connect(worker_login)
    await refused(worker, "DELETE FROM governance_tasks", "TRUNCATE execution_logs")
    await refused(bench.operator, "DELETE FROM governance_tasks")


async def test_nothing_is_deleted_by_force(bench: Bench) -> None:
    """The command is enough, whatever the task is called."""
    row = await held_back(bench, "Tidy up", ROOT_GONE)
    assert (row["risk_level"], row["need"]) == ("high", 1)
    assert "delete files by force" in " ".join(row["risk_factors"])


async def test_permissions_are_not_modified(
    bench: Bench, database: Database, worker_login: Login
) -> None:
    """A command that changes rights is critical; a worker's login grants itself nothing."""
    for title, command in (
        ("New login", ["createuser", "root"]),
        ("Grant Bob admin rights", HARMLESS),
        ("Modify RBAC permissions", HARMLESS),
    ):
        row = await held_back(bench, title, command)
        assert (row["risk_level"], row["need"]) == ("critical", 2)
    worker = await database.connect(worker_login)
    await refused(
        worker,
        "SELECT grant_capability('executor', 'planning')",
        "INSERT INTO juggernaut.grants (worker_type, task_type) VALUES ('executor', 'planning')",
        f'GRANT juggernaut_approver TO "{worker_login.name}"',
        "SET ROLE juggernaut_owner",
        f'ALTER ROLE "{worker_login.name}" CREATEROLE',
        "SELECT set_budget('day', 1000)",
    )


async def test_nothing_is_deployed_without_approval(
    bench: Bench, database: Database, worker_login: Login
) -> None:
    """A deploy is high: it waits for a person, and the worker's login is none."""
    for title, command in (
        ("Deploy the app to production", HARMLESS),
        ("Ship it", ["railway", "up"]),
    ):
        row = await held_back(bench, title, command)
        assert (row["risk_level"], row["need"]) == ("high", 1)
    worker = await database.connect(worker_login)
    for statement in (row["approve_sql"], f"SELECT approve_task('{row['task_id']}')"):
        await refused(worker, statement)
    assert (await bench.task(row["task_id"]))["status"] == "waiting_approval"


async def test_outside_systems_are_not_reached(bench: Bench) -> None:
    """A command that leaves the house waits for a person (the sandbox has no network besides)."""
    row = await held_back(bench, "Look it up", ["curl", "https://example.invalid"])
    assert row["risk_level"] == "high"
    assert "network" in " ".join(row["risk_factors"])


async def test_nothing_is_complete_without_evidence(bench: Bench, plain: PlainWorker) -> None:
    """Not by plain SQL, not by the daemon's function, not by an operator's hand."""
    task = await bench.add_task("command", payload={"command": HARMLESS})
    await plain.claim(task)
    for said in ("Done", "Completed the task", "Fixed it"):
        with pytest.raises(asyncpg.PostgresError, match="evidence"):
            await plain.complete(task, said)
    other = await bench.add_task("command", payload={"command": HARMLESS})
    found = await bench.claim("executor")
    assert found is not None
    empty = Completion(Evidence("command", {"exit_code": 0}), (), "I am sure that it is done")
    with pytest.raises(LawRefused, match="lacks"):
        await bench.services.store.complete(found.lease, empty)
    for held in (task, other):
        await refused(
            bench.operator,
            f"UPDATE governance_tasks SET status = 'completed', completed_at = now(),"
            f" completion_evidence = 'trust me' WHERE id = '{held}'",
        )
    assert await bench.rows("SELECT * FROM proof") == []


async def test_nothing_is_claimed_outside_the_capabilities(
    bench: Bench, plain: PlainWorker
) -> None:
    """What a worker says of itself widens nothing; what was taken away is gone at once."""
    research = await bench.add_task("research")
    with pytest.raises(asyncpg.PostgresError, match="not granted"):
        await plain.claim(research)
    assert await bench.claim("executor", ("research", "command")) is None
    await bench.operator.execute("SELECT revoke_capability('executor', 'command')")
    command = await bench.add_task("command", payload={"command": HARMLESS})
    assert await bench.claim("executor") is None
    with pytest.raises(asyncpg.PostgresError, match="not granted"):
        await plain.claim(command)
    reason = await bench.operator.fetchval("SELECT reason FROM why($1)", command)
    assert "no role is granted" in reason


def test_the_table_names_these_tests() -> None:
    """Seven actions, each with a test of this file."""
    text = (REPO / "docs/security.md").read_text(encoding="utf-8")
    part = text.partition("\n## Prohibited actions\n")[2].partition("\n## ")[0]
    named = re.findall(r"`(test_\w+)` \|$", part, re.MULTILINE)
    assert len(named) == 7
    assert set(named) <= set(globals())
