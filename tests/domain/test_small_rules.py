"""Digests, schemas, counts, evidence, criteria, templates, tables and fault points."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggernaut.domain import faults
from juggernaut.domain.counts import count_tests
from juggernaut.domain.criteria import (
    accepted_numbers,
    explain_unmet,
    first_unknown,
    judge,
    who_accepts,
)
from juggernaut.domain.digest import canonical, digest_of, text_digest
from juggernaut.domain.errors import AttemptError, ConfigError, InvalidInput
from juggernaut.domain.evidence import OWED, shortcomings
from juggernaut.domain.exchange import CommandResult
from juggernaut.domain.model import Criterion, Evidence, Json, TaskId, Verdict
from juggernaut.domain.schema import check_schema
from juggernaut.domain.tables import Row, check_citations, markdown, rows_of
from juggernaut.domain.template import render

SHA = "a" * 40
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="ascii")), inner),
    max_leaves=20,
)


def result(output: str, code: int = 0, argv: tuple[str, ...] = ("x",)) -> CommandResult:
    """Make the result of a command."""
    return CommandResult(argv, code, output, 0.1)


@given(JSON)
def test_canonical_bytes_are_json_and_stable(value: object) -> None:
    """They read back as the same value, and again give the same bytes."""
    raw = canonical(value)
    assert canonical(json.loads(raw)) == raw


def test_order_of_keys_does_not_matter() -> None:
    """Equal values, equal digests; a tuple is a list."""
    assert digest_of({"a": 1, "b": (1, 2)}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": True})


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {1: 2}, b"x", {"a": object()}, "\ud800"]
)
def test_what_has_no_canonical_form(value: object) -> None:
    """It is refused at the door."""
    with pytest.raises(InvalidInput):
        canonical(value)


def test_bottomless_depth_is_refused() -> None:
    """A deep value is an error of the value, not of the program."""
    deep: object = 0
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises((InvalidInput, RecursionError)):
        canonical(deep)
    assert text_digest("\ud800") != text_digest("?")


PYTEST = ("python", "-m", "pytest")
UNITTEST = ("python", "-m", "unittest")


@pytest.mark.parametrize(
    ("argv", "output", "code", "counts"),
    [
        (PYTEST, "12 passed in 0.03s", 0, (12, 0)),
        (PYTEST, "== 1 failed, 12 passed, 2 skipped in 0.12s ==", 1, (12, 1)),
        (PYTEST, "\x1b[32m== \x1b[1m3 passed\x1b[0m in 61.20s (0:01:01) ==\x1b[0m", 0, (3, 0)),
        (PYTEST, "2 failed, 1 error in 0.5s", 1, (0, 3)),
        (PYTEST, "no tests ran in 0.01s", 5, (0, 1)),
        (PYTEST, "3 skipped in 0.1s", 0, (0, 0)),
        (PYTEST, "12 passed", 0, (0, 1)),
        (PYTEST, "99 passed in 0.1s\nmore\n1 failed in 0.2s", 1, (0, 1)),
        (PYTEST, "5 passed in 0.1s", 1, (5, 1)),
        (UNITTEST, "Ran 5 tests in 0.003s\n\nOK", 0, (5, 0)),
        (UNITTEST, "Ran 5 tests in 0.003s\n\nOK (skipped=2)", 0, (3, 0)),
        (UNITTEST, "Ran 5 tests in 0.1s\n\nFAILED (failures=1, errors=2)", 1, (2, 3)),
        (UNITTEST, "OK", 0, (0, 1)),
        (("make", "test"), "== 4 passed in 0.1s ==", 0, (4, 0)),
        (("make", "test"), "fine", 0, (1, 0)),
        (("make", "test"), "bad", 2, (0, 1)),
    ],
)
def test_counts(argv: tuple[str, ...], output: str, code: int, counts: tuple[int, int]) -> None:
    """From the closing line and the exit code; a known harness owes its closing line."""
    found = count_tests(result(output, code, argv))
    assert (found.passed, found.failed) == counts
    assert found.good == (counts[1] == 0 and counts[0] > 0)


def test_a_run_out_of_time_is_not_good() -> None:
    """Even with a good closing line."""
    late = CommandResult(PYTEST, 0, "3 passed in 1.0s", 600.0, timed_out=True)
    assert not count_tests(late).good


FACTS: Json = {
    "pull_number": 1,
    "pull_url": "x",
    "head_sha": SHA,
    "base_sha": SHA,
    "merged_sha": SHA,
    "files": ["a"],
    "tests": {"passed": 1},
}


@pytest.mark.parametrize("key", OWED["code"])
def test_every_fact_is_owed(key: str) -> None:
    """Without any one of them the evidence falls short, and the key is named."""
    assert shortcomings(Evidence("code", FACTS)) == ()
    less = {name: value for name, value in FACTS.items() if name != key}
    assert shortcomings(Evidence("code", less)) == (f"{key} is missing",)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"merged_sha": "Done"}, "merged_sha is not a commit"),
        ({"head_sha": SHA[:12]}, "head_sha is not a commit"),
        ({"files": []}, "files is empty"),
        ({"note": "x" * 70_000}, "at most 65536"),
    ],
)
def test_prose_is_no_evidence(changes: Json, reason: str) -> None:
    """Facts have a form and a size."""
    assert reason in shortcomings(Evidence("code", {**FACTS, **changes}))[0]


def test_verdicts() -> None:
    """From exit codes; without a check nobody can tell; what a person accepted is not asked."""
    checked, prose = Criterion(1, "it works", ("true",)), Criterion(2, "it is nice")
    good = judge(checked, result("", 0), result("", 1))
    assert good.verdict is Verdict.MET
    assert good.facts["met_at_base"] is False
    bad = judge(checked, result("boom", 1))
    assert bad.verdict is Verdict.UNMET
    assert "criterion 1 (it works) is unmet: exit code 1\nboom" in explain_unmet([checked], [bad])
    late = CommandResult(("true",), 0, "", 9.0, timed_out=True)
    assert judge(checked, late).verdict is Verdict.UNMET
    unknown = judge(prose, None)
    assert first_unknown([good, unknown], frozenset()) is unknown
    assert first_unknown([good, unknown], accepted_numbers({"accepted_criteria": [2]})) is None
    assert accepted_numbers({"accepted_criteria": "all"}) == frozenset()
    assert accepted_numbers({"accepted_criteria": [True, "2"]}) == frozenset()


def test_a_template_is_filled_once() -> None:
    """A value is never searched for holes; a hole without a value is an error."""
    assert render("p", "{{a}} and {{ b }}", {"a": "{{b}}", "b": "B"}) == "{{b}} and B"
    with pytest.raises(ConfigError, match="the prompt p asks for {{c}}; it may use a, b"):
        render("p", "{{c}}", {"a": "", "b": ""})


def test_rows_and_citations() -> None:
    """A text may cite what it was given, and has to cite something."""
    rows = rows_of(
        {
            "hours": 24,
            "rows": [{"rests_on": [], "value": 3, "metric": "done", "id": "m1"}, "odd"],
            "failures": [{"id": "f1", "example": "line one\nline two"}],
        }
    )
    assert [row.id for row in rows] == ["m1", "f1"]
    assert rows[0].line() == "[m1] metric=done, value=3, rests_on=[]"
    assert "## Failures\n\n- [f1] example=line one line two" in markdown(rows)
    told = rows_of(
        {"rows": [{"id": "m1", "metric": "cost", "scope": "all", "value": 2, "unit": "US dollars"}]}
    )
    assert markdown(told).endswith("- [m1] cost, all: 2 US dollars")
    assert check_citations("Three [m1], and [m1] again.", ["m1", "f1"]) == ("m1",)
    for text, reason in (("Three [m2].", "no such row"), ("Three.", "cite the rows")):
        with pytest.raises(InvalidInput, match=reason):
            check_citations(text, ["m1"])
    assert Row("m1", "s", {}).line() == "[m1] "


def test_a_truth_value_is_no_number() -> None:
    """JSON Schema's usual trap."""
    for kind in ("integer", "number"):
        with pytest.raises(InvalidInput):
            check_schema(True, {"type": kind})
    check_schema(None, {"type": ["array", "null"]})
    with pytest.raises(InvalidInput, match=r"the answer\.a\[1\] must be string"):
        schema: Json = {"properties": {"a": {"items": {"type": "string"}}}}
        check_schema({"a": ["x", 1]}, schema)


@pytest.fixture
def disarmed() -> Iterator[None]:
    """Leave no fault armed behind."""
    yield
    faults.arm(None)


@pytest.mark.usefixtures("disarmed")
def test_a_fault_strikes_at_its_count() -> None:
    """The n-th pass, once; other points and unarmed ones do nothing."""
    faults.arm("push.done:error:2")
    faults.reach("pull.done")
    faults.reach("push.done")
    with pytest.raises(AttemptError):
        faults.reach("push.done")
    faults.reach("push.done")


@pytest.mark.parametrize("spec", ["push.done", "push.done:explode", "x:kill", "push.done:kill:x"])
def test_a_wrong_spec_is_refused(spec: str) -> None:
    """A chaos test with a typing error must not pass for want of a fault."""
    with pytest.raises(ConfigError):
        faults.arm(spec)


def test_the_environment_arms_a_real_kill() -> None:
    """A process with the variable dies of SIGKILL at the point."""
    code = "from juggernaut.domain import faults; faults.reach('merge.done'); raise SystemExit(3)"
    env = {"JUGGERNAUT_FAULT": "merge.done:kill"}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False)
    assert done.returncode == -9


def test_the_statement_that_accepts_names_the_words_when_they_fit() -> None:
    """Quoted for SQL; of a text that does not fit, nothing."""
    task = TaskId(UUID(int=1))
    assert who_accepts(task, 2, "it's fine").endswith(", 2, 'note', 'it''s fine')")
    assert who_accepts(task, 2, "x" * 300).endswith(", 2, 'note')")
