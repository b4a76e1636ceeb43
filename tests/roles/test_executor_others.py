"""EXECUTOR's test, verification, command and documentation tasks."""

from __future__ import annotations

import json

import pytest

from tests.fakes.puppets import PuppetAgent
from tests.roles.bench import CHECK, CRITERIA, GOOD_SLUG, PYTHON, Bench


async def test_a_green_suite_is_counted(bench: Bench) -> None:
    """The counts come from the harness, the commit from git."""
    sha = bench.origin.push("main", {"slug.py": GOOD_SLUG})
    task = await bench.add_task("test")
    assert await bench.work("executor") == "completed"
    facts = await bench.facts(task)
    assert (facts["passed"], facts["failed"], facts["exit_code"]) == (1, 0, 0)
    assert facts["sha"] == sha


async def test_a_red_suite_fails_the_task(bench: Bench) -> None:
    """The end of the output says why."""
    task = await bench.add_task("test", max_attempts=1)
    assert await bench.work("executor") == "failed"
    row = await bench.task(task)
    assert "0 passed, 1 failed" in row["error_message"]
    assert "'a_b' != 'a-b'" in row["error_message"]


async def test_a_suite_that_leaves_early_has_not_passed(bench: Bench) -> None:
    """Exit code 0 without the harness's report is a failure."""
    text = "import os\nprint('OK')\nos._exit(0)\n"
    bench.origin.push("main", {"slug.py": GOOD_SLUG, "test_early.py": text})
    task = await bench.add_task("test", max_attempts=1)
    assert await bench.work("executor") == "failed"
    assert "left no report" in (await bench.task(task))["error_message"]


async def test_named_checks_and_criteria_are_verified(bench: Bench) -> None:
    """Each check is named in the evidence."""
    bench.origin.push("main", {"slug.py": GOOD_SLUG})
    payload = {"checks": [{"name": "it compiles", "argv": [PYTHON, "-m", "compileall", "-q", "."]}]}
    task = await bench.add_task("verification", payload=payload, acceptance_criteria=CRITERIA)
    assert await bench.work("executor") == "completed"
    checks = (await bench.facts(task))["checks"]
    assert isinstance(checks, list)
    assert [item["name"] for item in checks] == ["it compiles", "slug joins with dashes"]
    assert [item["exit_code"] for item in checks] == [0, 0]


async def test_a_failing_check_fails_the_verification(bench: Bench) -> None:
    """It is named in the error."""
    payload = {"checks": [{"name": "slug is right", "argv": CHECK}]}
    task = await bench.add_task("verification", payload=payload, max_attempts=1)
    assert await bench.work("executor") == "failed"
    assert "the check 'slug is right' failed" in (await bench.task(task))["error_message"]


async def test_a_command_leaves_a_digest(bench: Bench) -> None:
    """Exit code and digest of the output are the evidence."""
    payload = {"command": [PYTHON, "-c", "print(6 * 7)"]}
    task = await bench.add_task("command", payload=payload)
    assert await bench.work("executor") == "completed"
    facts = await bench.facts(task)
    assert facts["exit_code"] == 0
    assert facts["excerpt"] == "42\n"
    assert len(str(facts["output_digest"])) == 64


async def test_a_command_that_fails(bench: Bench) -> None:
    """Its output is in the error."""
    payload = {"command": [PYTHON, "-c", "raise SystemExit('no such luck')"]}
    task = await bench.add_task("command", payload=payload, max_attempts=1)
    assert await bench.work("executor") == "failed"
    assert "no such luck" in (await bench.task(task))["error_message"]


async def test_a_dangerous_command_waits_for_two_people(bench: Bench) -> None:
    """Deleting data is critical, whatever the task declares."""
    payload = {"command": ["sh", "-c", "dropdb production"]}
    await bench.add_task("command", payload=payload, title="Tidy up (this is low risk)")
    assert await bench.work("executor") == "parked"
    waiting = (await bench.rows("SELECT * FROM pending_approvals"))[0]
    assert (waiting["risk_level"], waiting["need"]) == ("critical", 2)
    assert any("delete data" in factor for factor in waiting["risk_factors"])


@pytest.mark.parametrize(
    ("task_type", "payload", "reason"),
    [
        ("command", {"command": "rm -rf /"}, "must be a command as a list of texts"),
        ("command", {}, "needs payload"),
        ("verification", {}, "needs payload"),
        ("verification", {"checks": "all of them"}, '"checks" must be a list'),
        ("test", {"test": []}, "must be a command as a list of texts"),
    ],
)
async def test_a_payload_that_makes_no_sense(
    bench: Bench, task_type: str, payload: dict[str, object], reason: str
) -> None:
    """The task fails at once, and says what to correct."""
    task = await bench.add_task(task_type, payload=payload)
    assert await bench.work("executor") == "failed"
    assert reason in (await bench.task(task))["error_message"]


async def test_documentation_is_merged(bench: Bench) -> None:
    """The location is the document."""
    bench.use(agent=PuppetAgent({"docs/use.md": "# Use\n"}))
    criteria = json.dumps([{"text": "there is a page", "check": ["test", "-f", "docs/use.md"]}])
    task = await bench.add_task("documentation", acceptance_criteria=criteria)
    assert await bench.work("executor") == "completed"
    facts = await bench.facts(task)
    assert facts["location"] == "docs/use.md"
    assert facts["merged_sha"] == bench.origin.head("main")


async def test_documentation_that_touches_code_is_refused(bench: Bench) -> None:
    """A documentation task changes nothing else; nothing is pushed."""
    bench.use(agent=PuppetAgent({"README.md": "# New\n", "slug.py": GOOD_SLUG}))
    task = await bench.add_task("documentation", max_attempts=1)
    assert await bench.work("executor") == "failed"
    assert "not documentation: slug.py" in (await bench.task(task))["error_message"]
    assert await bench.services.forge.find_pull(bench.origin.name, f"feature/{task}") is None
