"""`juggernaut goal` against a real database."""

from __future__ import annotations

import pytest

from juggernaut.app.cli.goals import money
from juggernaut.domain.errors import InvalidInput
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
    done = good(database, "goal", "cancel", goal["goal_id"], "--reason", "by hand")
    assert done["status"] == "cancelled"
    tasks = good(database, "task", "list", "--goal", goal["goal_id"])
    assert {task["status"] for task in tasks} == {"cancelled"}


def test_a_reader_may_look_and_no_more(database: Database, reader_login: Login) -> None:
    """The refusal is the database's, in one line, with exit code 1."""
    assert good(database, "goal", "list", login=reader_login) == []
    refused = run(database, "goal", "add", "Fix it", login=reader_login)
    assert refused.code == 1
    assert refused.err.startswith("juggernaut: ")
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize("text", ["much", "-1", "NaN", "Infinity"])
def test_an_amount_has_to_be_one(text: str) -> None:
    """A budget that cannot be read is refused before anything is written."""
    with pytest.raises(InvalidInput, match="US dollars"):
        money(text)
