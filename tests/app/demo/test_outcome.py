"""The demo only succeeds when every promise was kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from juggernaut.app.demo.outcome import ROLES, Outcome, shortfalls
from juggernaut.app.git_facts import TestRun

RED = TestRun(green=False, ran=11, broken=2, output="")
GREEN = TestRun(green=True, ran=11, broken=0, output="")
KEPT = Outcome(
    goal={"status": "completed"},
    tasks=[{"id": 1}],
    proofs=[{"task_id": 1}],
    decisions=[{"status": "approved"}],
    learnings=[{}],
    reports=[{}],
    recommendations=[{}],
    spend=[],
    alerts=[],
    violations=[],
    duties=[{}],
    workers=[{"worker_type": role} for role in ROLES],
    before=RED,
    after=GREEN,
    merged_sha="a" * 40,
    history="",
    diff="",
)


def test_all_promises_kept() -> None:
    """Nothing is missing."""
    assert shortfalls(KEPT) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"goal": {"status": "failed"}}, "the goal is failed"),
        ({"merged_sha": None, "after": None}, "no proof holds a merged commit"),
        ({"before": GREEN}, "nothing was fixed"),
        ({"after": RED}, "not green at the merged commit"),
        ({"after": TestRun(green=True, ran=0, broken=0, output="")}, "not green at the merged"),
        ({"proofs": []}, "a task has no evidence"),
        ({"decisions": [{"status": "rejected"}]}, "nothing was approved"),
        ({"learnings": []}, "no learning"),
        ({"reports": []}, "no report"),
        ({"recommendations": []}, "no recommendation"),
        ({"duties": []}, "the watchdog left no trace"),
        ({"workers": [{"worker_type": "executor"}]}, "not all five roles"),
        ({"violations": [{"law": "x"}]}, "law_violations has 1 rows"),
    ],
)
def test_each_broken_promise_is_named(change: dict[str, Any], said: str) -> None:
    """One line for each."""
    assert said in "; ".join(shortfalls(replace(KEPT, **change)))
