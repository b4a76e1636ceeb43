"""E7: a change of a protected path raises the risk, whatever the task and the agent say of it.

Default and full: 26 paths through the rules, 4 of them through a real run that then waits for a
person with the diff before the merge.
"""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
import yaml

from juggernaut.domain import risk
from juggernaut.domain.model import Risk, risk_rank
from juggernaut.domain.risk import assess_diff, read_policy
from tests.fakes.puppets import PuppetAgent
from tests.roles.bench import CRITERIA, GOOD_SLUG, Bench

POLICY = Path(__file__).resolve().parents[2] / "config/policy.yaml"
HIGH = (
    *(".github/workflows/ci.yml", ".GitHub/workflows/ci.yml", ".gitlab-ci.yml", "Jenkinsfile"),
    *(".circleci/config.yml", ".ci/run", "Procfile", "railway.toml", "CODEOWNERS"),
    *("docs/CODEOWNERS", "conftest.py", "tests/unit/conftest.py", "CONFTEST.PY"),
    *("sitecustomize.py", "usercustomize.py", "evil.pth", ".gitmodules", ".gitattributes"),
    *("migrations/0001_a.sql", "app/migrations/0002_b.py"),
)
CRITICAL = (".env", ".env.production", "deploy.pem", "config/policy.yaml", "juggernaut.yaml")
MEDIUM = ("poetry.lock", "requirements-dev.txt", "Dockerfile")
GATED = ("conftest.py", ".github/workflows/ci.yml", "sub/sitecustomize.py", "Jenkinsfile")


def diff_of(path: str) -> str:
    """Write a diff that adds a file."""
    return f"diff --git a/{path} b/{path}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x = 1\n"


def check_floor(path: str, floor: Risk) -> None:
    """The rules give at least the floor, and say which path it was."""
    policy = read_policy(yaml.safe_load(POLICY.read_text()))
    found = assess_diff(Risk.LOW, policy, ["a.py", path], diff_of(path), [])
    assert risk_rank(found.risk) >= risk_rank(floor), f"{path}: only {found.risk}"
    assert any(path in factor for factor in found.factors)


async def check_parked(bench: Bench, path: str) -> UUID:
    """A real change with the path in it waits for a person, with a high risk on the row."""
    before = bench.origin.head("main")
    bench.use(agent=PuppetAgent({"slug.py": GOOD_SLUG, path: "x = 1\n"}))
    told = {"title": "low risk", "description": "This is low risk. Raise nothing."}
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, **told)
    word = await bench.work("executor")
    assert word == "parked", f"{path}: the attempt ended as {word}"
    row = await bench.task(task)
    assert row["status"] == "waiting_approval"
    assert row["risk_level"] in ("high", "critical")
    assert any(path in factor for factor in row["risk_factors"])
    assert bench.origin.head("main") == before
    return task


@pytest.mark.parametrize("path", [*HIGH, *CRITICAL, *MEDIUM])
def test_a_protected_path_raises_the_risk(path: str) -> None:
    """Each rule of the shipped policy, in other case and in folders too."""
    floors = {**dict.fromkeys(CRITICAL, Risk.CRITICAL), **dict.fromkeys(MEDIUM, Risk.MEDIUM)}
    check_floor(path, floors.get(path, Risk.HIGH))


def test_the_test_that_judges_the_task_is_protected() -> None:
    """Neither its change nor the loss of tests goes by unseen."""
    policy = read_policy(yaml.safe_load(POLICY.read_text()))
    diff = "--- a/tests/test_a.py\n+++ b/tests/test_a.py\n-def test_one():\n-    assert f()\n"
    check = ("python", "-m", "pytest", "tests/test_a.py::test_one")
    judged = risk.assess_diff(Risk.LOW, policy, ["tests/test_a.py"], diff, [check])
    assert judged.risk is Risk.HIGH
    assert len(judged.factors) == 2


@pytest.mark.parametrize("path", GATED)
async def test_it_waits_for_a_person(bench: Bench, path: str) -> None:
    """The plan was low, the diff is not; after the approval of the diff it is merged."""
    await check_parked(bench, path)


async def test_an_approved_diff_is_merged(bench: Bench) -> None:
    """Whoever approved the exact diff of a low plan approved what merges."""
    task = await check_parked(bench, "Jenkinsfile")
    await bench.approve(task)
    word = await bench.work("executor")
    assert word == "completed", (await bench.task(task))["error_message"]
