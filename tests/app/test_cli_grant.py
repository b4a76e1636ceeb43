"""`grant`, `budget`, `pause`, `resume` against a real database."""

from __future__ import annotations

import pytest

from tests.app.commands import good, run
from tests.fixtures_postgres import Database, Login


def test_a_grant_is_given_and_taken(database: Database) -> None:
    """What is said names both sides."""
    assert run(database, "grant", "auditor", "verification").out == (
        "auditor may claim verification tasks\n"
    )
    taken = run(database, "grant", "auditor", "verification", "--revoke")
    assert taken.out == "auditor may no longer claim verification tasks\n"
    for more in ((), ("--revoke",)):
        refused = run(database, "grant", "executor", "magic", *more)
        assert refused.code == 2
        assert "'magic' is no task type: use one of code, command" in refused.err


def test_an_approver_grants_nothing(database: Database, approver_login: Login) -> None:
    """Power comes from an operator."""
    for argv in (("grant", "auditor", "code"), ("budget", "day", "5.00")):
        refused = run(database, *argv, login=approver_login)
        assert refused.code == 1
        assert refused.err.count("\n") == 1
        assert "use the operator's address" in refused.err


def test_taking_what_was_not_given_is_no_success(database: Database) -> None:
    """A name with a slip of the pen changes nothing, and says so with the names there are."""
    slip = run(database, "grant", "executer", "code", "--revoke")
    assert (slip.code, slip.out) == (1, "")
    assert "nothing changed: executer has no grant of code" in slip.err
    assert "analyst, executor, orchestrator" in slip.err
    assert run(database, "grant", "executor", "code", "--revoke").code == 0
    assert run(database, "grant", "executor", "code", "--revoke").code == 1


def test_a_grant_to_a_role_that_nobody_has_is_noted(database: Database) -> None:
    """It may come later, so it is given; what is no name at all is refused without SQL's words."""
    noted = run(database, "grant", "executer", "code")
    assert (noted.code, noted.out) == (0, "executer may claim code tasks\n")
    assert noted.err.startswith("note: executer has no role file")
    assert run(database, "grant", "executer", "test").err == ""
    refused = run(database, "grant", "EXECUTOR!", "code")
    assert refused.code == 2
    assert "use a-z, 0-9 and _" in refused.err
    assert "constraint" not in refused.err


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
    assert freed["reserved_tokens"] == 0
    assert "reserved tokens" in run(database, "budget").out
    assert run(database, "budget", "day").code == 2
    assert run(database, "budget", "day", "much").code == 2
    assert run(database, "budget", "--tokens", "100").code == 2
    assert run(database, "budget", "role:executer", "6.00").code == 2
    assert [row["scope"] for row in good(database, "budget")] == ["day"]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("dya", "6.00"), "'dya' is no purse: use day, goal:ID"),
        (("bogus", "5"), "'bogus' is no purse: use day, goal:ID"),
        (("worker:x", "4"), "'worker:x' is no purse: use day, goal:ID"),
        (("goal:", "4"), "'goal:' is no purse"),
        (("day", "1e999"), "'1e999' is no amount of US dollars: it must be 0 or more, and at most"),
        (("day", "9" * 900), "at most 99999999"),
        (("day", "NaN"), "is no amount of US dollars"),
        (("day", "5", "--tokens", "9" * 900), "it must be at most 1000000000000000"),
    ],
)
def test_what_is_no_purse_and_no_cap(database: Database, argv: tuple[str, ...], told: str) -> None:
    """One short refusal and nothing besides, exit code 2."""
    ran = run(database, "budget", *argv)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err
    assert ran.err.count("\n") == 1
    assert len(ran.err) < 200
    assert [float(row["cap_usd"]) for row in good(database, "budget")] == [20.0]


def test_a_goal_is_named_by_the_start_of_its_id(database: Database) -> None:
    """Its pause and its purse are those of the whole id, as workers compare it."""
    goal = good(database, "goal", "add", "Fix it")["goal_id"]
    start = goal[:8]
    assert run(database, "pause", f"goal:{start}").out == f"paused: goal:{goal}\n"
    (task,) = good(database, "task", "list", "--goal", start)
    assert f"goal:{goal}" in good(database, "task", "why", task["id"])[0]["reason"]
    assert run(database, "resume", f"goal:{start}").out == f"resumed: goal:{goal}\n"
    assert run(database, "resume", f"goal:{start}").out == f"was not paused: goal:{goal}\n"
    assert good(database, "budget", f"goal:{start}", "2.00")[-1]["scope"] == f"goal:{goal}"
    assert run(database, "pause", "goal:ffffffff").code == 1


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("role:executer",), "analyst, executor, orchestrator, strategist, watchdog"),
        (("type:cod",), "code, command, documentation"),
        (("goal:zzzz",), "is no goal id"),
        (("everything",), "is no scope"),
        (("all", "--reason", " "), "give a reason"),
    ],
)
def test_what_would_pause_nothing_is_refused(
    database: Database, approver_login: Login, argv: tuple[str, ...], told: str
) -> None:
    """With the names there are; whoever may pause may also look them up."""
    task = good(database, "task", "add", "Fix", "--type", "code")
    ran = run(database, "pause", *argv, login=approver_login)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err
    assert "paused" not in good(database, "task", "why", task["id"])[0]["reason"]


def test_what_a_pause_knows_is_what_there_is(database: Database, approver_login: Login) -> None:
    """Roles of files and of grants are known; a worker may come later, which is noted."""
    run(database, "grant", "auditor", "verification")
    for scope in ("role:executor", "role:auditor", "type:code"):
        ran = run(database, "pause", scope, login=approver_login)
        assert (ran.out, ran.err) == (f"paused: {scope}\n", "")
    ran = run(database, "pause", "worker:nobody")
    assert (ran.code, ran.out) == (0, "paused: worker:nobody\n")
    assert "no worker has the id 'nobody'" in ran.err


def test_a_pause_is_the_reason_that_a_task_waits(database: Database) -> None:
    """Why names it until somebody resumes."""
    task = good(database, "task", "add", "Fix", "--type", "code")
    assert run(database, "pause", "--reason", "release week").out == "paused: all\n"
    assert "release week" in good(database, "task", "why", task["id"])[0]["reason"]
    assert run(database, "resume").out == "resumed: all\n"
    assert "release week" not in good(database, "task", "why", task["id"])[0]["reason"]
