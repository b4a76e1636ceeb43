"""The life of a pull request at GitHub's double: the API is GitHub's, the repository is on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import pytest

from juggernaut.adapters.forges.source import Folder
from juggernaut.adapters.forges.workspace import GitWorkspaces
from juggernaut.domain.pulls import Pull
from tests.fakes.github.double import GitHubDouble
from tests.fakes.puppets import PuppetAgent
from tests.flow.pull_people import CI, parked, woken
from tests.ports import forge_bench
from tests.ports.forge_bench_github import REPO, with_token
from tests.roles.bench import CRITERIA, GOOD_SLUG, Bench
from tests.roles.conftest import bench

__all__ = ["bench"]

NICER = GOOD_SLUG + "# nicer\n"


@dataclass(frozen=True, slots=True)
class Hub:
    """The bench of the roles, at GitHub, with people."""

    bench: Bench
    forge: forge_bench.Bench

    async def pull(self, task: UUID) -> Pull:
        """Find the pull request of a task."""
        found = await self.forge.forge.find_pull(REPO, f"feature/{task}")
        assert found is not None
        return found


@pytest.fixture
def at_github(bench: Bench, github_double: GitHubDouble) -> Iterator[forge_bench.Bench]:
    """The double, serving the repository of the bench."""
    yield from with_token(github_double, bench.origin)


@pytest.fixture
async def hub(bench: Bench, at_github: forge_bench.Bench, tmp_path: Path) -> AsyncIterator[Hub]:
    """The bench with GitHub as its forge."""
    source = Folder(bench.origin.bare)
    bench.services = replace(
        bench.services,
        forge=at_github.forge,
        workspaces=GitWorkspaces(tmp_path / "root", remotes=lambda _: source),
        settings=replace(bench.services.settings, repo=REPO),
    )
    yield Hub(bench, at_github)


async def test_red_checks_and_remarks(hub: Hub) -> None:
    """Red is mended, a remark is answered, and what is green and approved is merged."""
    people, bench = hub.forge.crowd, hub.bench
    agent = PuppetAgent({"slug.py": GOOD_SLUG}, {"slug.py": NICER}, {"slug.py": NICER + "# 2\n"})
    bench.use(agent=agent)
    await people.require((CI,), 1)
    task = await parked(bench)
    first = await hub.pull(task)
    assert first.draft
    await people.check(first.head_sha, CI, False, "E501 on line 2")
    assert await woken(bench) == "parked"
    assert "E501 on line 2" in agent.requests[1].prompt
    second = await hub.pull(task)
    assert (second.number, second.head_sha == first.head_sha) == (first.number, False)
    await people.check(second.head_sha, CI, True)
    assert await woken(bench) == "parked"
    assert not (await hub.pull(task)).draft
    await people.comment(second.number, "why so short?", "slug.py", 2)
    assert await woken(bench) == "parked"
    assert "why so short?" in agent.requests[2].prompt
    third = await hub.pull(task)
    await people.check(third.head_sha, CI, True)
    await people.review(third.number, "APPROVED")
    assert await woken(bench) == "completed"
    facts = await bench.facts(task)
    assert facts["verified_sha"] == facts["head_sha"] == third.head_sha
    assert "# 2" in bench.origin.show("main:slug.py")


async def test_closed_at_github(hub: Hub) -> None:
    """A person's close is the end, with their words."""
    people, bench = hub.forge.crowd, hub.bench
    await people.require((CI,))
    task = await parked(bench)
    number = (await hub.pull(task)).number
    await people.comment(number, "we do not want dashes")
    await people.close(number)
    assert await woken(bench) == "failed"
    row = await bench.task(task)
    assert row["error_message"].startswith("pull_closed")
    assert "we do not want dashes" in row["error_message"]


async def test_a_base_that_went_on_at_github(hub: Hub) -> None:
    """The change is replayed on it, and the CI runs again there, before it is merged."""
    people, bench = hub.forge.crowd, hub.bench
    await people.require((CI,))
    task = await parked(bench)
    newer = bench.origin.push("main", {"other.txt": "new\n"})
    await people.check((await hub.pull(task)).head_sha, CI, True)
    assert await woken(bench) == "parked"
    await people.check((await hub.pull(task)).head_sha, CI, True)
    assert await woken(bench) == "completed"
    assert (await bench.facts(task))["base_sha"] == newer


async def test_without_rules_it_is_one_attempt(hub: Hub) -> None:
    """A repository without any rule: opened, verified, merged."""
    task = await hub.bench.add_task("code", acceptance_criteria=CRITERIA)
    assert await hub.bench.work("executor") == "completed"
    assert (await hub.pull(task)).state == "merged"
