"""Red work whose agent changes what judges it waits for people, however that is written."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.adapters.forges.repos import git
from tests.fakes.puppets import PuppetAgent
from tests.roles.bench import Bench

RED = 'def slug(text: str) -> str:\n    return text.replace(" ", "+")\n'
STRICT = "#!/bin/sh\ngrep -q '\"-\"' slug.py\n"


@pytest.mark.parametrize(
    ("check", "end"), [(["sh", "check.sh"], "# \0\n"), ("sh check.sh", ""), (["make", "-s"], "")]
)
async def test_a_changed_judge_waits(bench: Bench, check: object, end: str) -> None:
    """Behind a NUL, in a line of a shell, and in what make reads."""
    makes = isinstance(check, list) and "make" in check
    name = "Makefile" if makes else "check.sh"
    bench.origin.push("main", {name: "all:\n\tgrep -q '\"-\"' slug.py\n" if makes else STRICT})
    git(bench.origin.clone, "push", "-q", "origin", "main")
    empty = "all:\n\ttrue\n" if makes else f"#!/bin/sh\nexit 0\n{end}"
    bench.use(agent=PuppetAgent({"slug.py": RED, name: empty}))
    bench.services = replace(
        bench.services, settings=replace(bench.services.settings, test_argv=None)
    )
    asked = json.dumps([{"text": "slug joins with dashes", "check": check}])
    task = await bench.add_task("code", acceptance_criteria=asked, max_attempts=1)
    assert await bench.work("executor") == "parked"
    row = (await bench.rows("SELECT gate, risk_factors, plan FROM pending_approvals"))[0]
    assert row["gate"] == "diff"
    assert f"changes {name}, which judges this task: high" in row["risk_factors"]
    assert ("check.sh is not shown as text: high" in row["risk_factors"]) is bool(end)
    assert "+exit 0" in row["plan"] or makes
    assert (await bench.task(task))["status"] == "waiting_approval"


@pytest.mark.parametrize("configured", [True, False])
async def test_a_changed_test_command_waits(bench: Bench, configured: bool) -> None:
    """Of the project, or of the task itself."""
    bench.origin.push("main", {"check.sh": STRICT})
    git(bench.origin.clone, "push", "-q", "origin", "main")
    bench.use(agent=PuppetAgent({"slug.py": RED, "check.sh": "#!/bin/sh\nexit 0\n"}))
    tests = ("sh", "check.sh")
    settings = replace(bench.services.settings, test_argv=tests if configured else None)
    bench.services = replace(bench.services, settings=settings)
    payload = "{}" if configured else json.dumps({"test": tests})
    await bench.add_task("code", payload=payload, max_attempts=1)
    assert await bench.work("executor") == "parked"
    (row,) = await bench.rows("SELECT risk_factors FROM pending_approvals")
    assert "changes check.sh, which judges this task: high" in row["risk_factors"]
