"""`juggernaut task` against a real database."""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg
import pytest

from juggernaut.app.cli.tasks import criterion_row
from juggernaut.domain.errors import InvalidInput
from tests.app.commands import good, run
from tests.fixtures_postgres import Database, Login

TWINS = [UUID(f"abcdef00-0000-4000-8000-00000000000{end}") for end in "12"]


def add(database: Database, *argv: str) -> dict[str, str]:
    """Add a task of type `code`."""
    row = good(database, "task", "add", "Fix shorten()", "--type", "code", *argv)
    return {str(key): value for key, value in row.items()}


def test_ids_are_given_by_their_start(database: Database) -> None:
    """One match is taken; several are refused with their names."""
    asyncio.run(insert_twins(database))
    ran = run(database, "task", "why", "abcdef00")
    assert ran.code == 1
    assert "several tasks start with 'abcdef00'" in ran.err
    assert all(str(twin) in ran.err for twin in TWINS)
    assert good(database, "task", "show", str(TWINS[0]).upper())["id"] == str(TWINS[0])


async def insert_twins(database: Database) -> None:
    """Insert two tasks whose ids have the same start."""
    connection = await asyncpg.connect(database.url)
    try:
        for twin in TWINS:
            await connection.execute(
                "INSERT INTO governance_tasks (id, title, task_type) VALUES ($1, 'x', 'code')", twin
            )
    finally:
        await connection.close()


def test_criteria_and_needs_are_kept(database: Database) -> None:
    """A criterion's command and the tasks to wait for reach the row."""
    first = add(database, "--criterion", "tests pass :: python -m unittest -q")
    assert '"check": ["python", "-m", "unittest", "-q"]' in first["acceptance_criteria"]
    second = add(database, "--needs", first["id"])
    assert second["status"] == "waiting"
    why = good(database, "task", "why", second["id"])
    assert first["id"] in why[0]["reason"]


def test_a_command_is_split_and_never_run_by_a_shell(database: Database) -> None:
    """The words go to the payload as they are."""
    row = good(database, "task", "add", "x", "--type", "command", "--command", "echo 'a b' ; id")
    assert row["payload"] == {"command": ["echo", "a b", ";", "id"]}


def test_a_task_is_cancelled_once(database: Database) -> None:
    """The reason stays with it, and a cancelled task cannot be tried again."""
    row = add(database)
    done = good(database, "task", "cancel", row["id"], "--reason", "no longer wanted")
    assert (done["status"], done["error_message"]) == ("cancelled", "no longer wanted")
    twice = run(database, "task", "cancel", row["id"], "--reason", "really")
    assert (twice.code, twice.out) == (1, "")
    assert "nothing changed" in twice.err
    assert "already cancelled" in twice.err
    again = run(database, "task", "retry", row["id"])
    assert again.code == 1
    assert "only a failed or blocked task" in again.err


def test_a_task_is_shown_with_its_log(database: Database) -> None:
    """The table form has title and status; the JSON form has proof and logs."""
    row = add(database)
    assert "status: pending" in run(database, "task", "show", row["id"]).out
    shown = good(database, "task", "show", row["id"])
    assert shown["proof"] is None
    assert shown["logs"] == []


def test_lists_can_be_filtered(database: Database) -> None:
    """By status and type, and never more rows than asked for."""
    add(database)
    add(database)
    assert len(good(database, "task", "list", "--type", "code", "-n", "1")) == 1
    assert good(database, "task", "list", "--status", "failed") == []
    for option, told in (("--status", "in_progress"), ("--type", "verification")):
        refused = run(database, "task", "list", option, "nonsense")
        assert refused.code == 2
        assert told in refused.err


@pytest.mark.parametrize("start", ["nothing", "abc", "", "12345678-1234-1234-1234-1234567890123"])
def test_what_is_no_id_is_refused(database: Database, start: str) -> None:
    """Text that cannot be an id is a usage error, told apart from an id that is not there."""
    for command in (("task", "why"), ("task", "show"), ("approve",), ("logs", "--task")):
        if command[0] == "logs" and not start:
            continue  # of no task: all
        ran = run(database, *command, start)
        assert ran.code == 2
        assert "is no task id" in ran.err


def test_an_unknown_id_is_named(database: Database) -> None:
    """The remedy is in the line."""
    ran = run(database, "task", "show", "ffffffff")
    assert ran.code == 1
    assert "no task has an id that starts with 'ffffffff'" in ran.err
    assert "task list" in ran.err


@pytest.mark.parametrize(
    ("argv", "told"),
    [(("--model", "nonsense"), "give an alias"), (("--cassette", "/absent"), "cannot be read")],
)
def test_a_fork_of_what_is_not_there_is_a_usage_error(
    database: Database, argv: tuple[str, str], told: str
) -> None:
    """A model that is not configured, a cassette that is not on disk."""
    row = add(database)
    ran = run(database, "task", "fork", row["id"], "--from-step", "1", *argv)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert told in ran.err


def test_a_task_needs_a_title(database: Database) -> None:
    """Said in words, not with the name of a constraint."""
    ran = run(database, "task", "add", " ", "--type", "code")
    assert ran.code == 2
    assert "a title has 1 to 300 characters" in ran.err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--type", "magic"), "'magic' is no task type: use one of code, command"),
        (("--type", "code", "--risk", "bogus"), "'bogus' is no risk level: use one of critical,"),
        (("--type", "code", "--priority", "urgent"), "'urgent' is no priority: use one of"),
        (("--type", "command", "--command", "echo 'open"), "cannot be read"),
        (("--type", "command", "--command", "echo ''"), "or an empty one"),
        (("--type", "command"), "needs --command, for instance"),
        (("--type", "command", "--command", ""), "needs --command, for instance"),
        (("--type", "verification"), "--criterion 'TEXT :: COMMAND'"),
        (("--type", "verification", "--criterion", "it works"), "--criterion 'TEXT :: COMMAND'"),
        (("--type", "code", "--criterion", ""), "what must be true at the end; '' has 0"),
        (("--type", "code", "--criterion", " :: make"), "what must be true at the end"),
        (("--type", "code", "--criterion", "x" * 2_001), "has 2001"),
        (("--type", "code", "--criterion", "it works :: "), "has no words"),
        (("--type", "code", *("--criterion", "x") * 31), "at most 30"),
    ],
)
def test_what_could_not_be_done_is_refused_at_the_door(
    database: Database, approver_login: Login, argv: tuple[str, ...], told: str
) -> None:
    """One line, exit code 2, in words; and nothing is added."""
    ran = run(database, "task", "add", "x", *argv, login=approver_login)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
    assert told in ran.err
    assert "constraint" not in ran.err
    assert good(database, "task", "list") == []


def test_a_verification_needs_a_criterion_with_a_command(database: Database) -> None:
    """What the refusal tells to give is taken."""
    given = ("--criterion", "the tests pass :: make test")
    row = good(database, "task", "add", "x", "--type", "verification", *given)
    assert row["status"] == "pending"


def test_a_criterion_may_name_its_proof() -> None:
    """Without the mark all of it is text."""
    assert criterion_row("it works") == {"text": "it works"}
    with pytest.raises(InvalidInput, match="cannot be read"):
        criterion_row("it works :: echo 'open")
