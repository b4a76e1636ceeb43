"""A repository with a merge queue, at GitHub's double: queued, merged by it, or thrown out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from juggernaut.domain.errors import NotQueued
from tests.adapters.forges.repos import git
from tests.fakes.github.double import GitHubDouble
from tests.fakes.puppets import PuppetAgent
from tests.flow.pull_people import parked, waits, woken
from tests.flow.test_pull_life_github import NICER, Hub, at_github, hub
from tests.ports.forge_bench_github import REPO
from tests.roles.bench import GOOD_SLUG
from tests.roles.conftest import bench

__all__ = ["at_github", "bench", "hub"]

CHECK = "juggernaut/verify"
SIGNED = "Signed-off-by: Ada <ada@example.org>"
IN_QUEUE = "pull request #1: it is in the merge queue | the forge's merge queue"


async def test_the_queue_merges_what_was_verified(hub: Hub, github_double: GitHubDouble) -> None:
    """Queued at the verified head, without a worker; its merge is verified and completed."""
    github_double.human.protect(REPO, checks=(CHECK,), merge_queue=True)
    task = await parked(hub.bench)
    head = (await hub.pull(task)).head_sha
    assert await waits(hub.bench, task) == IN_QUEUE
    assert len(github_double.human.finish_queue(REPO)) == 1
    assert await woken(hub.bench) == "completed"
    facts = await hub.bench.facts(task)
    assert facts["head_sha"] == head
    assert facts["verified_sha"] == facts["merged_sha"] == hub.bench.origin.head("main")
    assert len(github_double.journal.of("PUT", "*/merge")) == 0


async def test_what_the_queue_throws_out_is_red(hub: Hub, github_double: GitHubDouble) -> None:
    """On a base that did not go on the agent mends it; else it is replayed on the newest one."""
    human, bench = github_double.human, hub.bench
    rules = replace(bench.services.settings.pulls, trailers=(SIGNED,))
    bench.services = replace(bench.services, settings=replace(bench.services.settings, pulls=rules))
    human.protect(REPO, checks=(CHECK,), merge_queue=True)
    agent = PuppetAgent({"slug.py": GOOD_SLUG}, {"slug.py": NICER})
    bench.use(agent=agent)
    task = await parked(bench)
    first = await hub.pull(task)
    human.eject(REPO, first.number)
    assert await woken(bench) == "parked"
    assert "the merge queue took it out" in agent.requests[1].prompt
    second = await hub.pull(task)
    newer = bench.origin.push("main", {"other.txt": "new\n"})
    assert await waits(bench, task) == IN_QUEUE
    human.eject(REPO, first.number)
    assert await woken(bench) == "parked"
    assert len(agent.requests) == 2
    third = await hub.pull(task)
    assert len({first.head_sha, second.head_sha, third.head_sha}) == 3
    for pull in (first, third):
        text = git(bench.origin.bare, "log", "-1", "--format=%B", pull.head_sha)
        assert text.strip().endswith(f"Task: {task}\n{SIGNED}")
    assert await waits(bench, task) == IN_QUEUE
    human.finish_queue(REPO)
    assert await woken(bench) == "completed"
    assert (await bench.facts(task))["base_sha"] == newer
    assert "# nicer" in bench.origin.show("main:slug.py")


async def test_a_queue_that_wants_more_waits_for_people(
    hub: Hub, github_double: GitHubDouble
) -> None:
    """It is asked once; a review brings the task back."""
    github_double.human.protect(REPO, checks=(CHECK,), approvals=1, merge_queue=True)
    task = await parked(hub.bench)
    said = await waits(hub.bench, task)
    assert "does not take it" in said
    assert "Merge when ready" in said
    assert await waits(hub.bench, task) == said
    await hub.forge.crowd.review((await hub.pull(task)).number, "APPROVED")
    assert await woken(hub.bench) == "parked"
    assert await waits(hub.bench, task) == IN_QUEUE
    github_double.human.finish_queue(REPO)
    assert await woken(hub.bench) == "completed"


async def test_a_queue_that_rule_sets_do_not_show(hub: Hub, github_double: GitHubDouble) -> None:
    """Classic protection: GitHub says so when it is asked to merge."""
    pull = await hub.forge.verified()
    said = "Changes must be made through the merge queue"
    github_double.faults.refuse("PUT", "*/merge", 405, said)
    with pytest.raises(NotQueued, match="merge queue"):
        await hub.forge.merge(pull)
