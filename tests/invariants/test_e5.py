"""E5: the commit that was verified is the one that was merged and that the evidence names.

Default: 2 clean runs and 3 races (a push between verification and merge). Full: 100 races.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from juggernaut.adapters.forges.local import LocalForge
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Pull
from tests.adapters.forges.repos import git
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials
from tests.roles.bench import CRITERIA, GOOD_SLUG, Bench

RACES = trials(3, 100)
STOWAWAY = "stowaway.py"


@dataclass(slots=True)
class RacingForge(LocalForge):
    """The local forge, where somebody pushes to the branch right before each merge."""

    race: Callable[[], None] = print
    moved: bool = False

    def __init__(self, forge: LocalForge, race: Callable[[], None]) -> None:
        """Work as `forge` does, but race."""
        LocalForge.__init__(self, forge._pulls, forge._copies.parent)
        self.race, self.moved = race, False

    async def merge(self, repo: str, number: int, expected: Sha, title: str, body: str) -> Pull:
        """Push, then merge."""
        self.race()
        return await LocalForge.merge(self, repo, number, expected, title, body)


async def check_one_sha(bench: Bench) -> None:
    """Verified, checked, merged and evidence: one commit and one tree."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    assert await bench.work("executor") == "completed"
    facts = await bench.facts(task)
    pull = (await bench.rows("SELECT * FROM juggernaut.pull_requests ORDER BY number DESC"))[0]
    checks = await bench.rows("SELECT sha, passed FROM juggernaut.checks WHERE passed")
    assert facts["verified_sha"] == facts["head_sha"] == pull["head_sha"]
    assert facts["head_sha"] in [row["sha"] for row in checks]
    assert facts["merged_sha"] == pull["merged_sha"] == bench.origin.head("main")
    trees = [
        git(bench.origin.bare, "rev-parse", f"{facts[k]}^{{tree}}")
        for k in ("head_sha", "merged_sha")
    ]
    assert trees[0] == trees[1], "the merged tree is not the verified one"


async def check_race(bench: Bench) -> None:
    """What was pushed after the verification is not merged with it."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    branch, before = f"feature/{task}", bench.origin.head("main")

    def race() -> None:
        """Push one more commit to the task's branch."""
        git(bench.origin.clone, "fetch", "-q", "origin")
        bench.origin.push(branch, {STOWAWAY: "evil = True\n"}, f"origin/{branch}")

    forge = bench.services.forge
    assert isinstance(forge, LocalForge)
    store = bench.services.store
    for session in bench.sessions.values():  # nobody beats for the bench's one session
        assert await store.beat(session, "idle", None)
    bench.services = replace(bench.services, forge=RacingForge(forge, race))
    word = await bench.work("executor")
    files = git(bench.origin.bare, "ls-tree", "-r", "--name-only", "main").splitlines()
    assert STOWAWAY not in files, "an unverified commit was merged"
    assert word == "retry"
    assert bench.origin.head("main") == before
    assert await bench.rows("SELECT * FROM juggernaut.evidence WHERE task_id = $1", task) == []
    bench.services = replace(bench.services, forge=forge)
    await bench.operator.execute("SELECT cancel_task($1, 'over')", task)


async def test_one_commit_from_verification_to_evidence(bench: Bench) -> None:
    """The evidence, the pull request, the check and the branch agree."""
    await check_one_sha(bench)
    assert bench.origin.show("main:slug.py").strip() == GOOD_SLUG.strip()


@pytest.mark.slow
@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
async def test_a_push_before_the_merge(bench: Bench) -> None:
    """The merge expects the verified head, and finds another."""
    for _ in range(RACES):
        await check_race(bench)
