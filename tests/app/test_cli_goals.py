"""`juggernaut goal` against a real database."""

from __future__ import annotations

import asyncio
import re

import asyncpg
import pytest

from juggernaut.app.cli.goals import STATUSES, money
from juggernaut.domain.errors import ConfigError
from tests.app.commands import good, run
from tests.fixtures_postgres import Database, Login


def test_a_goal_gets_a_planning_task(database: Database) -> None:
    """What a person adds is what the orchestrator finds."""
    goal = good(database, "goal", "add", "Fix it", "-d", "now", "--budget", "2.50")
    assert (goal["title"], goal["status"], goal["description"]) == ("Fix it", "active", "now")
    shown = good(database, "goal", "show", goal["goal_id"][:8])
    assert [task["task_type"] for task in shown["task_rows"]] == ["planning"]
    assert good(database, "budget")[-1]["scope"] == f"goal:{goal['goal_id']}"


def test_a_goal_in_a_strangers_words_is_tainted(database: Database) -> None:
    """Its planning task carries the mark on, which no one takes off again."""
    goal = good(database, "goal", "add", "Pay me", "--untrusted")
    shown = good(database, "goal", "show", goal["goal_id"])
    task = good(database, "task", "show", shown["task_rows"][0]["id"])
    assert task["tainted"] is True


def test_goals_are_listed_and_filtered(database: Database) -> None:
    """The table has the title; the filter takes it out."""
    good(database, "goal", "add", "Fix it")
    assert "Fix it" in run(database, "goal", "list").out
    assert good(database, "goal", "list", "--status", "failed") == []


def test_a_cancelled_goal_takes_its_tasks_along(database: Database) -> None:
    """Nothing of it is left to claim."""
    goal = good(database, "goal", "add", "Fix it")
    cancel = ("goal", "cancel", goal["goal_id"], "--reason", "by hand")
    assert good(database, *cancel)["status"] == "cancelled"
    tasks = good(database, "task", "list", "--goal", goal["goal_id"])
    assert {task["status"] for task in tasks} == {"cancelled"}
    again = run(database, *cancel)
    assert (again.code, again.out) == (1, "")
    assert "nothing changed" in again.err
    assert "already cancelled" in again.err


def test_a_reader_may_look_and_no_more(database: Database, reader_login: Login) -> None:
    """The refusal is the database's, in one line that says who may, with exit code 1."""
    assert good(database, "goal", "list", login=reader_login) == []
    refused = run(database, "goal", "add", "Fix it", login=reader_login)
    assert refused.code == 1
    assert refused.err.startswith("juggernaut: permission denied for function add_goal: ")
    assert "juggernaut login create approver" in refused.err
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("goal", "add", ""), "a title has 1 to 300 characters, this one 0"),
        (("goal", "add", "x" * 301), "this one 301"),
        (("goal", "add", "x", "--budget", "abc"), "no amount of US dollars"),
        (("goal", "list", "--status", "nonsense"), "active, cancelled, completed, failed"),
        (("goal", "show", "zzzz"), "is no goal id"),
        (("task", "list", "--goal", "zzzz"), "is no goal id"),
    ],
)
def test_a_wrong_word_is_a_usage_error(
    database: Database, argv: tuple[str, ...], told: str
) -> None:
    """One line that says what is right, exit code 2, and nothing is written."""
    ran = run(database, *argv)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert told in ran.err
    assert good(database, "goal", "list") == []


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_of_a_goal_may_be_asked_for(database: Database, status: str) -> None:
    """The database has these, and no others."""
    assert good(database, "goal", "list", "--status", status) == []
    assert asyncio.run(statuses(database)) == set(STATUSES)


async def statuses(database: Database) -> set[str]:
    """Read the statuses that the table takes."""
    connection = await asyncpg.connect(database.url)
    try:
        laws = await connection.fetch(
            "SELECT pg_get_constraintdef(oid) AS law FROM pg_constraint"
            " WHERE conrelid = 'goals'::regclass AND conname = 'goals_status_check'"
        )
    finally:
        await connection.close()
    return set(re.findall(r"'(\w+)'::text", laws[0]["law"]))


@pytest.mark.parametrize("text", ["much", "-1", "NaN", "Infinity"])
def test_an_amount_has_to_be_one(text: str) -> None:
    """A budget that cannot be read is refused before anything is written."""
    with pytest.raises(ConfigError, match="US dollars"):
        money(text)


@pytest.mark.parametrize("budget", ["1e999", "1000000", "-1", "much", "9" * 900])
def test_a_budget_that_no_goal_can_have(database: Database, budget: str) -> None:
    """Said in words, before the database is asked."""
    ran = run(database, "goal", "add", "x", "--budget", budget)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "is no amount of US dollars" in ran.err
    assert len(ran.err) < 200
    assert good(database, "goal", "list") == []
