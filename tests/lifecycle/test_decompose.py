"""A plan is checked before the database sees it."""

from __future__ import annotations

import pytest

from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.model import Json, Priority, Risk
from juggernaut.domain.schema import check_schema
from juggernaut.lifecycle.decompose import plan_schema, read_plan

TYPES = ("code", "command", "verification")


def task(key: str = "a", **changes: object) -> dict[str, object]:
    """Make a task as a model writes it."""
    given = {"title": f"Task {key}", "description": "Do it.", "task_type": "code", "criteria": []}
    return {"key": key, **given, **changes}


def read(*tasks: Json) -> list[str]:
    """Check and read a plan; gives the keys."""
    answer = {"tasks": list(tasks)}
    check_schema(answer, plan_schema(TYPES))
    return [item.key for item in read_plan(answer)]


def test_a_good_plan() -> None:
    """Defaults are filled in, control characters are gone, checks are commands."""
    criteria = [{"text": "it\x00 works", "check": ["true"]}, {"text": "nice", "check": None}]
    answer = {"tasks": [task("a"), task("b", needs=["a", "a"], criteria=criteria, risk="high")]}
    first, second = read_plan(answer)
    assert (first.priority, first.risk, first.needs) == (Priority.MEDIUM, Risk.LOW, ())
    assert second.needs == ("a",)
    assert second.risk is Risk.HIGH
    assert [(item.number, item.check) for item in second.criteria] == [(1, ("true",)), (2, None)]
    assert "\x00" not in second.criteria[0].text


@pytest.mark.parametrize(
    ("tasks", "reason"),
    [
        ([], "number of items"),
        ([task("a"), task("a", title="Other")], "'a' is used twice"),
        ([task("a"), task("b", title="TASK A")], "two tasks have the title"),
        ([task("a", needs=["b"])], "needs 'b', which is not in the plan"),
        ([task("a", needs=["b"]), task("b", needs=["a"])], "wait for each other"),
        ([task("a", needs=["a"])], "wait for each other"),
        ([task("a", task_type="planning")], "must be one of code, command, verification"),
        ([task("a", task_type="command")], "put its argv"),
        ([task("a", task_type="verification")], "verifies nothing"),
        ([task("a", criteria=[{"text": "x", "check": "make test"}])], "must be array, null"),
        ([task("a", criteria=[{"text": "x", "check": []}])], "must be a command"),
        ([task("a", payload={"token": "x"})], "unknown key 'token'"),
        ([task("a", title="x" * 301)], "at most 300"),
        ([task(str(number)) for number in range(26)], "at most 25"),
        ([task("a", approved_by="me")], "unknown key 'approved_by'"),
        ([{"key": "a"}], "lacks 'title'"),
        (["a"], "must be object"),
    ],
)
def test_a_bad_plan_names_its_fault(tasks: list[Json], reason: str) -> None:
    """Each is refused with a sentence that a model can act on."""
    with pytest.raises(InvalidInput, match=reason):
        read(*tasks)
