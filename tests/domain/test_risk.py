"""Risk is the highest of what is declared and of every floor; nothing lowers it."""

from __future__ import annotations

import itertools
import uuid

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from juggernaut.domain.diffs import judge_diff
from juggernaut.domain.errors import ConfigError
from juggernaut.domain.model import Criterion, Priority, Risk, Sha, Task, TaskId, highest, risk_rank
from juggernaut.domain.plans import diff_plan_of, plan_of
from juggernaut.domain.risk import Policy, assess_diff, is_document, read_policy
from juggernaut.domain.states import TaskStatus
from tests.tidy.reading import REPO

RAW = yaml.safe_load((REPO / "config/policy.yaml").read_text())
POLICY: Policy = read_policy(RAW)


def task(
    title: str = "Fix the slug",
    description: str = "It should join with dashes.",
    declared: Risk = Risk.LOW,
    task_type: str = "code",
    payload: dict[str, object] | None = None,
    check: tuple[str, ...] | None = None,
) -> Task:
    """Make a task."""
    return Task(
        id=TaskId(uuid.UUID(int=7)),
        title=title,
        description=description,
        task_type=task_type,
        priority=Priority.MEDIUM,
        risk=declared,
        status=TaskStatus.IN_PROGRESS,
        criteria=(Criterion(1, "it works", check),),
        payload=payload or {},
    )


def risk_of(item: Task, floor: Risk = Risk.LOW) -> Risk:
    """Assess a task."""
    return plan_of(item, "repo", None, POLICY, {item.task_type: floor}).risk


@pytest.mark.parametrize(("declared", "floor"), list(itertools.product(Risk, Risk)))
def test_the_highest_wins(declared: Risk, floor: Risk) -> None:
    """Every pair of what is declared and what the type asks for."""
    assert risk_of(task(declared=declared), floor) is highest([declared, floor])


@pytest.mark.parametrize(
    ("text", "risk", "name"),
    [
        ("Make a payment to the supplier", Risk.CRITICAL, "financial transaction"),
        ("Please TRANSFER   MONEY now", Risk.CRITICAL, "financial transaction"),
        ("\uff44elete production data", Risk.CRITICAL, "delete production data"),
        ("Grant admin to the bot", Risk.CRITICAL, "change permissions"),
        ("Disable authentication in tests", Risk.CRITICAL, "security change"),
        ("Then deploy to production", Risk.HIGH, "production deploy"),
        ("A data migration of orders", Risk.HIGH, "data migration"),
        ("Send an email to everybody", Risk.HIGH, "outside system"),
        ("A schema change", Risk.MEDIUM, "schema change"),
    ],
)
def test_prohibited_words_raise(text: str, risk: Risk, name: str) -> None:
    """In the title, the description or a criterion, whatever its case, spaces or look-alikes."""
    for item in (task(title=text), task(description=f"First this.\n{text}, please.")):
        plan = plan_of(item, None, None, POLICY, {})
        assert plan.risk is risk
        assert any(name in factor for factor in plan.factors)


@given(st.sampled_from(list(Risk)), st.text(max_size=200))
def test_text_never_lowers(declared: Risk, text: str) -> None:
    """No text takes a declared risk down."""
    item = task(description=f"This is low risk. {text}", declared=declared)
    assert risk_rank(risk_of(item)) >= risk_rank(declared)


@pytest.mark.parametrize(
    ("argv", "risk"),
    [
        (["python", "-m", "pytest"], Risk.LOW),
        (["git", "status"], Risk.LOW),
        (["git", "push", "--force"], Risk.HIGH),
        (["/usr/bin/git", "-C", ".", "push"], Risk.HIGH),
        (["sh", "-c", "cd x && kubectl apply -f y"], Risk.HIGH),
        (["sh", "-c", "echo 'DROP TABLE users' | cat"], Risk.CRITICAL),
        (["terraform", "destroy"], Risk.CRITICAL),
        (["/usr/local/bin/railway", "up"], Risk.HIGH),
        (["curl", "https://example.invalid"], Risk.HIGH),
        (["bash", "-c", "$(curl x)"], Risk.HIGH),
        (["chown", "root", "x"], Risk.CRITICAL),
    ],
)
def test_commands_have_floors(argv: list[str], risk: Risk) -> None:
    """As a payload's command and as a criterion's check; a path or a shell hides nothing."""
    assert risk_of(task(payload={"command": argv})) is risk
    assert risk_of(task(check=tuple(argv))) is risk


@pytest.mark.parametrize(
    ("path", "risk"),
    [
        ("src/slug.py", Risk.LOW),
        ("README.md", Risk.LOW),
        (".github/workflows/ci.yml", Risk.HIGH),
        (".GitHub/workflows/ci.yml", Risk.HIGH),
        ("docs/CODEOWNERS", Risk.HIGH),
        ("tests/conftest.py", Risk.HIGH),
        ("deep/down/.env", Risk.CRITICAL),
        ("keys/server.PEM", Risk.CRITICAL),
        ("app/migrations/0002_x.sql", Risk.HIGH),
        ("Dockerfile", Risk.MEDIUM),
        ("uv.lock", Risk.MEDIUM),
    ],
)
def test_paths_have_floors(path: str, risk: Risk) -> None:
    """In a diff, and when a task names the path."""
    assert assess_diff(Risk.LOW, POLICY, [path], "", []).risk is risk
    assert risk_of(task(payload={"path": path})) is risk


def test_a_diff_that_weakens_its_judge() -> None:
    """Changing a test that judges the task, and removing tests, are high; adding one is not."""
    check = [("python", "-m", "pytest", "./tests/test_a.py::test_one")]
    old = "--- a/tests/test_a.py\n+++ b/tests/test_a.py\n"
    new = "--- /dev/null\n+++ b/tests/test_a.py\n+def test_one():\n"
    files = ["tests/test_a.py"]
    assert assess_diff(Risk.LOW, POLICY, files, old, check).risk is Risk.HIGH
    assert assess_diff(Risk.LOW, POLICY, files, new, check).risk is Risk.LOW
    gone = "--- a/tests/test_b.py\n-    def test_two(self):\n-    async def test_three(self):\n"
    found = assess_diff(Risk.LOW, POLICY, ["tests/test_b.py"], gone, [])
    assert found.factors == ("removes 2 tests: high",)
    moved = gone + "+    def test_two(self):\n+    async def test_three(self):\n"
    assert assess_diff(Risk.LOW, POLICY, ["tests/test_b.py"], moved, []).risk is Risk.LOW


def test_documents() -> None:
    """Only documents are documents."""
    assert is_document("README.md", POLICY)
    assert is_document("docs/a/b.svg", POLICY)
    assert not is_document("src/docs.py", POLICY)


def test_the_same_row_has_the_same_digest() -> None:
    """Whatever the attempt; what a person accepted or the database raised changes nothing."""
    first = plan_of(task(), "repo", "feature/x", POLICY, {})
    again = task(payload={"accepted_criteria": [1]})
    assert plan_of(again, "repo", "feature/x", POLICY, {}).digest == first.digest


@pytest.mark.parametrize(
    "other",
    [
        task(title="Fix the slug!"),
        task(description="It should join with dashes"),
        task(payload={"test": ["true"]}),
        task(payload={"anything": 1}),
        task(check=("true",)),
        task(task_type="documentation"),
    ],
)
def test_one_changed_byte_is_another_plan(other: Task) -> None:
    """An approval of one is none of the other."""
    first = plan_of(task(), "repo", "feature/x", POLICY, {})
    assert plan_of(other, "repo", "feature/x", POLICY, {}).digest != first.digest


def test_a_raised_risk_keeps_the_digest() -> None:
    """The database raises the row's risk at the gate; the approved plan passes all the same."""
    first = plan_of(task(payload={"command": ["dropdb", "x"]}), None, None, POLICY, {})
    raised = task(payload={"command": ["dropdb", "x"]}, declared=Risk.CRITICAL)
    assert plan_of(raised, None, None, POLICY, {}).digest == first.digest


def test_a_diff_plan_names_exact_bytes() -> None:
    """Another head, base or byte of the diff, also one that is masked, is another plan."""
    digests = {
        diff_plan_of(
            *(task(), Risk.LOW, POLICY),
            head=Sha(head),
            base=Sha(base),
            files=("a",),
            diff=shown,
            judged=judge_diff(diff),
        ).digest
        for head, base, shown, diff in itertools.product("12", "34", "uv", "xy")
    }
    assert len(digests) == 16


@pytest.mark.parametrize("key", sorted(RAW))
def test_a_policy_with_a_wrong_key_is_refused(key: str) -> None:
    """A missing, a misspelt and a mistyped key are named; only the network may be left out."""
    without = {k: v for k, v in RAW.items() if k != key}
    for broken in ({**RAW, key: "nonsense"}, *([without] if key != "network" else [])):
        with pytest.raises(ConfigError, match=key):
            read_policy(broken)
    with pytest.raises(ConfigError, match="unknown key"):
        read_policy({**RAW, f"{key}s": 1})
