"""`workers`, `logs`, `learnings`, `alerts`, `report` against a real database."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from juggernaut.app.cli.lists import levels
from tests.app.commands import good, run
from tests.fixtures_postgres import Database, Login

RIGHT_TO_LEFT = "\u202e"
ESCAPE = "\x1b"
HOSTILE = (
    f"{ESCAPE}[2J{ESCAPE}]0;owned\x07 [bold]fixed[/bold] {RIGHT_TO_LEFT}detsurt\r\nstatus: done"
)


def write(database: Database, statement: str, *values: object) -> None:
    """Run one statement as the operator."""

    async def work() -> None:
        """Run it."""
        connection = await asyncpg.connect(database.url)
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()

    asyncio.run(work())


def log(database: Database, level: str, message: str) -> None:
    """Write a line to the log of the swarm."""
    statement = (
        "INSERT INTO execution_logs (worker_id, action, level, message) VALUES ($1,$2,$3,$4)"
    )
    write(database, statement, "tester", "test", level, message)


def test_logs_are_chosen_by_level_and_come_in_order(database: Database) -> None:
    """A level means itself and what is worse."""
    for level in ("error", "info", "critical", "warning"):
        log(database, level, f"a {level} line")
    found = [row["message"] for row in good(database, "logs", "--level", "warn")]
    assert found == ["a error line", "a critical line", "a warning line"]
    assert [row["level"] for row in good(database, "logs", "-n", "1")] == ["warning"]


def test_an_unknown_level_is_a_usage_error(database: Database) -> None:
    """The levels that there are stand in the message."""
    ran = run(database, "logs", "--level", "loud")
    assert ran.code == 2
    assert "critical" in ran.err
    assert levels(None) is None


@pytest.mark.parametrize(
    "command", [["logs"], ["task", "list"], ["goal", "list"], ["goal", "show"]]
)
def test_hostile_text_is_shown_and_not_obeyed(database: Database, command: list[str]) -> None:
    """Neither the terminal nor the table reads text from outside as instructions."""
    log(database, "info", HOSTILE)
    goal = good(database, "goal", "add", "a goal", "-d", HOSTILE)
    write(database, "UPDATE governance_tasks SET title = $1", HOSTILE)
    out = run(database, *command, *([goal["goal_id"]] if command[-1] == "show" else [])).out
    assert ESCAPE not in out
    assert RIGHT_TO_LEFT not in out
    assert "\x07" not in out
    assert "\r" not in out
    if command != ["goal", "list"]:
        assert "[bold]fixed[/bold]" in out
    assert not any(line.startswith("status: done") for line in out.splitlines())


def test_workers_are_listed_with_a_sign_of_life(database: Database, worker_login: Login) -> None:
    """A worker that registers by plain SQL is on the board."""

    async def register() -> None:
        """Register as a worker does."""
        dsn = database.url_for(worker_login.name, worker_login.password)
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(
                "INSERT INTO worker_registry (worker_id, worker_type, status)"
                " VALUES ('w1', 'executor', 'active')"
            )
        finally:
            await connection.close()

    asyncio.run(register())
    assert [row["worker_id"] for row in good(database, "workers")] == ["w1"]
    assert "w1" in run(database, "workers").out


def test_the_newest_report_is_shown(database: Database) -> None:
    """Without a number the newest, with one that one; none is said in one line."""
    nothing = run(database, "report")
    assert (nothing.code, nothing.err.count("\n")) == (1, 1)
    assert "no report yet" in nothing.err
    good(database, "goal", "add", "a goal")
    for number, title in ((1, "first"), (2, "second")):
        write(
            database,
            "INSERT INTO reports (task_id, fence, title, body)"
            " SELECT id, $1, $2, 'all is well' FROM governance_tasks",
            *(number, title),
        )
    assert good(database, "report")["title"] == "second"
    assert "first" in run(database, "report", "show", "1").out
    assert [row["title"] for row in good(database, "report", "list")] == ["second", "first"]
    assert run(database, "report", "show", "9").code == 1


def test_alerts_and_learnings_may_be_empty(database: Database) -> None:
    """An empty list is a list."""
    assert good(database, "alerts") == good(database, "learnings") == []
    assert run(database, "alerts").out == "alerts: none\n"


def test_a_database_that_is_not_migrated_is_said_so(empty_database: Database) -> None:
    """The remedy is in the line."""
    for argv in (("workers",), ("grant", "executor", "code")):
        ran = run(empty_database, *argv)
        assert ran.code == 1
        assert "juggernaut migrate" in ran.err


def test_nobody_answers(database: Database) -> None:
    """A port where nothing listens is one line without the password."""
    away = Database("postgresql://somebody:FAKE-password@127.0.0.1:1/nothing")
    ran = run(away, "workers")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "127.0.0.1:1" in ran.err
    assert "FAKE-password" not in ran.err
