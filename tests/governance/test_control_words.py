"""At psql as at the command line: what names nothing is refused, and a reason says something."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from tests.fixtures_postgres import Database, Login
from tests.invariants.scene import Connection

NOBODY = UUID(int=7)
DIGITS = 400  # a refusal has no number of a thousand digits
REFUSED = (
    ("pause_swarm('role:nosuch', 'x')", "'nosuch' is no role", "executor"),
    ("pause_swarm('type:nosuch', 'x')", "'nosuch' is no task type", "code, command"),
    ("pause_swarm('type:Code', 'x')", "'Code' is no task type", "code, command"),
    ("pause_swarm('goal:nosuch', 'x')", "there is no goal 'nosuch'", "FROM goals"),
    (f"pause_swarm('goal:{NOBODY}', 'x')", "there is no goal", "FROM goals"),
    ("pause_swarm('worker: ', 'x')", "no id of a worker", "worker_registry"),
    ("pause_swarm('role:', 'x')", "'' is no role", "executor"),
    (f"pause_swarm('task:{NOBODY}', 'x')", "is no scope", "role:NAME"),
    ("pause_swarm('bogus', 'x')", "'bogus' is no scope", "role:NAME"),
    ("pause_swarm(NULL, 'x')", "is no scope", "role:NAME"),
    ("pause_swarm('all', '')", "needs a reason", ""),
    ("pause_swarm('all', E' \\t\\n')", "needs a reason", ""),
    ("pause_swarm('all', NULL)", "needs a reason", ""),
    ("set_budget('role:nosuch', 5)", "'nosuch' is no role", "executor"),
    ("set_budget('type:Code', 5)", "'Code' is no task type", "code, command"),
    (f"set_budget('goal:{NOBODY}', 5)", "there is no goal", "FROM goals"),
    (f"set_budget('task:{NOBODY}', 5)", "there is no task", "FROM task_board"),
    ("set_budget('worker:w', 5)", "is no purse", "task:ID"),
    ("set_budget(NULL, 5)", "is no purse", "task:ID"),
    ("set_budget('day', 1e999)", "needs a price in US dollars", "99999999"),
    ("set_budget('day', 100000000)", "needs a price in US dollars", "99999999"),
    ("set_budget('day', 'NaN')", "needs a price in US dollars", "99999999"),
    ("set_budget('day', -1)", "needs a price in US dollars", "99999999"),
    ("set_budget('day', NULL)", "needs a price in US dollars", "99999999"),
    ("set_budget('day', 5, 1e999)", "is no cap on tokens", "infinity"),
)
REASONS = ("", "   ", "\t\n")


@pytest.fixture
async def operator(database: Database) -> Connection:
    """The operator."""
    return await database.connect()


@pytest.mark.parametrize(("call", "told", "hint"), REFUSED)
async def test_what_names_nothing_is_refused(
    operator: Connection, call: str, told: str, hint: str
) -> None:
    """With what there is; nothing is paused, and no purse is made."""
    with pytest.raises(asyncpg.PostgresError, match=told) as refused:
        await operator.execute(f"SELECT {call}")
    assert refused.value.sqlstate == "JG001"
    assert hint in (refused.value.hint or "")
    assert len(str(refused.value)) < DIGITS
    assert await operator.fetch("SELECT * FROM controls") == []
    assert [row[0] for row in await operator.fetch("SELECT scope FROM budgets")] == ["day"]


async def test_what_there_is_is_paused_and_capped(operator: Connection) -> None:
    """Types, roles of the project, of grants, of logins and of workers, goals and tasks by id."""
    goal = await operator.fetchval("SELECT add_goal('g')")
    task = await operator.fetchval("SELECT id FROM governance_tasks")
    await operator.execute(
        "SELECT grant_capability('auditor', 'code'); SELECT limit_login('x', '{clerk}');"
        "INSERT INTO worker_registry (worker_id, worker_type) VALUES ('w', 'scribe')"
    )
    both = (*("type:code", "role:watchdog", "role:auditor", "role:clerk", "role:scribe"),)
    for scope in (*both, f"goal:{goal}", "worker:w", "worker:not-yet", "all"):
        assert await operator.fetchval("SELECT pause_swarm($1)", scope) == scope
    for scope in (*both, f"goal:{goal}", f"task:{task}", "day"):
        assert await operator.fetchval("SELECT set_budget($1, 5)", scope) == 5


async def test_a_purse_that_is_there_can_always_be_set(operator: Connection) -> None:
    """Its role may be gone since."""
    await operator.execute("SELECT grant_capability('auditor', 'code')")
    await operator.execute("SELECT set_budget('role:auditor', 5)")
    await operator.execute("SELECT revoke_capability('auditor', 'code')")
    assert await operator.fetchval("SELECT set_budget('role:auditor', 1)") == 1


async def test_a_worker_that_is_not_there_yet_is_noted(operator: Connection) -> None:
    """As the command line does."""
    notes: list[str] = []
    operator.add_log_listener(lambda _, note: notes.append(str(note)))
    await operator.execute("SELECT pause_swarm('worker:nobody', 'x')")
    assert any("no worker has the id 'nobody' so far" in note for note in notes)


@pytest.mark.parametrize("reason", REASONS)
async def test_a_reason_says_something(
    operator: Connection, database: Database, approver_login: Login, reason: str
) -> None:
    """Cancelling and rejecting; nothing happens."""
    person = await database.connect(approver_login)
    goal = await operator.fetchval("SELECT add_goal('g')")
    task = await operator.fetchval("SELECT id FROM governance_tasks")
    for call, on in (("cancel_task", task), ("cancel_goal", goal), ("reject_task", task)):
        with pytest.raises(asyncpg.PostgresError, match="needs a reason") as refused:
            await person.execute(f"SELECT {call}($1, $2)", on, reason)
        assert refused.value.sqlstate == "JG001"
    assert await operator.fetchval("SELECT status FROM goals") == "active"
    assert await operator.fetchval("SELECT status FROM governance_tasks") == "pending"


@pytest.mark.parametrize("call", ["cancel_task($1)", "cancel_task($1, NULL)"])
async def test_no_reason_is_the_one_that_is_written_there(operator: Connection, call: str) -> None:
    """The default, also where NULL is said."""
    task = await operator.fetchval(
        "INSERT INTO governance_tasks (title, task_type) VALUES ('t', 'code') RETURNING id"
    )
    await operator.execute(f"SELECT {call}", task)
    said = await operator.fetchval("SELECT error_message FROM governance_tasks WHERE id = $1", task)
    assert said == "cancelled"
