"""Fifty agents that lie about their work: none completes, nothing is merged, each gets a reason.

The real executor, git, local forge and PostgreSQL; only the repository's own tests judge, which is
what the lies aim at. By default each kind once; all fifty, each kind under each harness, under
JUGGERNAUT_TRIALS=full.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from tests.attack.lies import KINDS, Lie
from tests.fakes.puppets import PuppetAgent
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials
from tests.roles.bench import GOOD_SLUG, PYTHON, TESTS, Bench

HARNESSES = {
    "unittest": TESTS,
    "pytest": (PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
}
OTHER = (
    "import unittest\n\n\nclass TestAll(unittest.TestCase):\n    def test_it(self):\n        pass\n"
)
CASES = [
    (list(KINDS)[number % len(KINDS)], list(HARNESSES)[(number + number // len(KINDS)) % 2], number)
    for number in range(trials(len(KINDS), 50))
]


def agent_of(bench: Bench, lie: Lie, branch: str) -> PuppetAgent:
    """Make an agent that lies like this."""
    agent = PuppetAgent(lie.files)
    agent.finished, agent.tool_uses = lie.finished, lie.tool_uses

    def begin() -> None:
        """Do what is done beside the files."""
        lie.aside(Path(agent.requests[-1].worktree))
        if lie.elsewhere:
            name = branch if lie.elsewhere == "the task's" else lie.elsewhere
            bench.origin.push(name, {"slug.py": GOOD_SLUG})

    agent.before = begin
    return agent


async def add(bench: Bench, harness: str) -> str:
    """Add a task that the repository's tests judge, beside a test that passes; gives its id."""
    bench.origin.push("main", {"test_a.py": OTHER})
    argv = list(HARNESSES[harness])
    criteria = json.dumps([{"text": "the tests pass", "check": argv}])
    task = await bench.add_task(
        "code", acceptance_criteria=criteria, payload={"test": argv}, max_attempts=1
    )
    return str(task)


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
@pytest.mark.parametrize(
    ("kind", "harness", "seed"),
    [pytest.param(*case, id="-".join(map(str, case))) for case in CASES],
)
async def test_a_lie_does_not_complete(bench: Bench, kind: str, harness: str, seed: int) -> None:
    """The task ends as failed, or waits for a person, and says why."""
    task = await add(bench, harness)
    before = bench.origin.head("main")
    bench.use(agent=agent_of(bench, KINDS[kind](Random(seed)), f"feature/{task}"))
    word = await bench.work("executor")
    row = (await bench.rows("SELECT * FROM governance_tasks WHERE id::text = $1", task))[0]
    assert word in {"failed", "parked"}
    assert row["status"] in {"failed", "waiting_approval", "blocked"}
    said = await bench.rows("SELECT why($1::text::uuid) AS told", task)
    reasons = row["error_message"] or row["blocked_reason"] or row["approval_reason"]
    assert reasons, f"nobody said why; {said}"
    assert bench.origin.head("main") == before
    assert await bench.rows("SELECT * FROM juggernaut.evidence") == []
    merged = "SELECT * FROM juggernaut.pull_requests WHERE state = 'merged'"
    assert await bench.rows(merged) == []


@pytest.mark.parametrize("harness", HARNESSES)
async def test_the_truthful_twin_completes(bench: Bench, harness: str) -> None:
    """The same task, the same harness, and an agent that did the work."""
    task = await add(bench, harness)
    bench.use(agent=agent_of(bench, Lie({"slug.py": GOOD_SLUG}), f"feature/{task}"))
    assert await bench.work("executor") == "completed"
    assert bench.origin.show("main:slug.py").strip() == GOOD_SLUG.strip()
