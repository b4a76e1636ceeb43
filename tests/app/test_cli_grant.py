"""`grant`, `budget`, `pause`, `resume` against a real database."""

from __future__ import annotations

from tests.app.commands import good, run
from tests.fixtures_postgres import Database, Login


def test_a_grant_is_given_and_taken(database: Database) -> None:
    """What is said names both sides."""
    assert run(database, "grant", "auditor", "verification").out == (
        "auditor may claim verification tasks\n"
    )
    taken = run(database, "grant", "auditor", "verification", "--revoke")
    assert taken.out == "auditor may no longer claim verification tasks\n"
    assert run(database, "grant", "auditor", "magic").code == 1


def test_an_approver_grants_nothing(database: Database, approver_login: Login) -> None:
    """Power comes from an operator."""
    refused = run(database, "grant", "auditor", "code", login=approver_login)
    assert refused.code == 1
    assert refused.err.count("\n") == 1


def test_a_purse_is_set_and_shown(database: Database) -> None:
    """The new cap is in the list that comes back."""
    rows = good(database, "budget", "day", "5.00")
    assert [(row["scope"], float(row["cap_usd"])) for row in rows] == [("day", 5.0)]
    (capped,) = good(database, "budget", "day", "5.00", "--tokens", "2000000")
    (kept,) = good(database, "budget", "day", "6.00")
    assert capped["left_tokens"] == kept["cap_tokens"] == 2_000_000
    (freed,) = good(database, "budget", "day", "6.00", "--tokens", "none")
    assert freed["cap_tokens"] is None
    assert run(database, "budget", "day", "6.00", "--tokens", "few").code == 2
    assert run(database, "budget", "dya", "6.00").code == 1
    assert run(database, "budget", "day").code == 2
    assert run(database, "budget", "day", "much").code == 1


def test_a_pause_is_the_reason_that_a_task_waits(database: Database) -> None:
    """Why names it until somebody resumes."""
    task = good(database, "task", "add", "Fix", "--type", "code")
    assert run(database, "pause", "--reason", "release week").out == "paused: all\n"
    assert "release week" in good(database, "task", "why", task["id"])[0]["reason"]
    assert run(database, "resume").out == "resumed: all\n"
    assert "release week" not in good(database, "task", "why", task["id"])[0]["reason"]
