"""What goes wrong at GitHub in the middle of a task: its double, git over HTTP, real tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from juggernaut.adapters.forges.github import GitHubForge
from juggernaut.adapters.forges.github.client import Client
from juggernaut.adapters.forges.github.names import Place
from juggernaut.adapters.forges.github.remote import GitHubSource
from juggernaut.adapters.forges.github.tokens import AppKey, AppTokens, GivenToken, Tokens
from juggernaut.adapters.forges.github.wire import Wire
from juggernaut.adapters.forges.workspace import GitWorkspaces
from juggernaut.domain.redact import Secret
from tests.fakes.github.double import APP_ID, GitHubDouble
from tests.fakes.github.state import PullRecord
from tests.fakes.github.state import Repo as Served
from tests.fakes.puppets import PuppetAgent
from tests.flow.pull_people import CI, parked, waits, woken
from tests.ports.forge_bench_github import app_key
from tests.roles.bench import BAD_SLUG, CRITERIA, GOOD_SLUG, Bench
from tests.roles.conftest import bench

__all__ = ["bench"]

REPO = "octo/app"
NICER = GOOD_SLUG + "# nicer\n"
PULLS = f"/repos/{REPO}/pulls"
HOUR_SECONDS = 3_700
WAIT_SECONDS = 300
CLOCKS_DIFFER_SECONDS = 30


@dataclass(slots=True)
class Hub:
    """The bench of the roles, with the double as its forge."""

    bench: Bench
    double: GitHubDouble
    repo: Served
    folder: Path
    wires: list[Wire] = field(default_factory=list)

    def connect(self, tokens: Tokens | None = None) -> None:
        """Be a process that has just started, with these tokens or a new one."""
        place, wire = Place.of(self.double.url), Wire(self.double.url)
        self.wires.append(wire)
        known = tokens or GivenToken(Secret(self.double.token()))
        self.bench.services = replace(
            self.bench.services,
            forge=GitHubForge(place, Client(wire, known, write_pause_seconds=0)),
            workspaces=GitWorkspaces(
                self.folder / f"root-{len(self.wires)}",
                remotes=lambda repo: GitHubSource(place, place.repo(repo), known),
            ),
            settings=replace(self.bench.services.settings, repo=REPO),
        )

    async def task(self) -> UUID:
        """Add a code task."""
        return await self.bench.add_task("code", acceptance_criteria=CRITERIA)

    def pull(self) -> PullRecord:
        """Give the only pull request."""
        [pull] = self.repo.pulls.values()
        return pull

    def check(self, passed: bool = True) -> None:
        """Let the CI end at the head of the pull request."""
        conclusion = "success" if passed else "failure"
        self.double.human.set_check(REPO, self.pull().head_sha, CI, conclusion)

    def merges(self) -> int:
        """Count the commits on the default branch since the first one."""
        return len(self.repo.bare.text("rev-list", "--first-parent", "main").splitlines()) - 1

    async def merged_once(self, task: UUID) -> None:
        """Check the end: one pull request, one merge, of the verified head."""
        facts, pull = await self.bench.facts(task), self.pull()
        assert self.merges() == 1
        assert facts["merged_sha"] == pull.merged_sha
        assert facts["head_sha"] == facts["verified_sha"] == pull.head_sha
        assert await self.bench.rows("SELECT * FROM law_violations") == []


@pytest.fixture
def hub(bench: Bench, github_double: GitHubDouble, tmp_path: Path) -> Iterator[Hub]:
    """The bench at GitHub, with a given token."""
    made = Hub(bench, github_double, github_double.host(REPO, bench.origin.bare), tmp_path)
    made.connect()
    yield made
    for wire in made.wires:
        wire.close()


async def test_a_conflict_is_mended_on_the_new_base(hub: Hub) -> None:
    """The agent gets conflict marks; the branch is moved once more, the pull request stays."""
    agent = PuppetAgent({"slug.py": GOOD_SLUG}, {"slug.py": NICER})
    hub.bench.use(agent=agent)
    hub.double.human.protect(REPO, checks=(CI,))
    task = await parked(hub.bench)
    newer = hub.double.human.push(REPO, "main", {"slug.py": BAD_SLUG})
    hub.check()
    assert await woken(hub.bench) == "parked"
    assert "conflict marks: slug.py" in agent.requests[1].prompt
    hub.check()
    assert await woken(hub.bench) == "completed"
    facts, pull = await hub.bench.facts(task), hub.pull()
    assert facts["base_sha"] == newer
    assert facts["verified_sha"] == facts["head_sha"] == pull.head_sha
    assert hub.merges() == 2, "the person's push, and one merge"


async def test_a_force_pushed_head_waits_for_a_person(hub: Hub) -> None:
    """It is not merged and not written over; given back, the task writes it anew."""
    hub.double.human.protect(REPO, checks=(CI,))
    task = await parked(hub.bench)
    branch = f"feature/{task}"
    theirs = hub.double.human.push(REPO, branch, {"mine.py": "X = 1\n"}, start="main")
    hub.double.human.set_check(REPO, theirs, CI, "success")
    assert await woken(hub.bench) == "parked"
    row = await hub.bench.task(task)
    assert row["status"] == "blocked"
    assert theirs in row["blocked_reason"]
    assert (hub.pull().head_sha, hub.merges()) == (theirs, 0)
    await hub.bench.approver.execute("SELECT retry_task($1)", task)
    assert await hub.bench.work("executor") == "parked"
    hub.check()
    assert await woken(hub.bench) == "completed"
    await hub.merged_once(task)


async def test_a_merge_by_hand_is_completed_with_evidence(hub: Hub) -> None:
    """What a person merged is verified as it was merged."""
    hub.double.human.protect(REPO, checks=(CI,))
    task = await parked(hub.bench)
    assert CI in await waits(hub.bench, task)
    pull = hub.pull()
    hub.double.human.protect(REPO)
    hub.double.human.set_draft(REPO, pull.number, draft=False)
    merged = hub.double.human.merge(REPO, pull.number, "squash")
    assert await woken(hub.bench) == "completed"
    facts = await hub.bench.facts(task)
    assert facts["merged_sha"] == facts["verified_sha"] == merged
    assert hub.merges() == 1


async def test_a_token_that_expires_in_mid_attempt_is_renewed(hub: Hub) -> None:
    """An App's token ends while the attempt works: a new one, and nothing happens twice."""
    private, public = app_key()
    app = hub.double.register_app(public)
    wire = Wire(hub.double.url)
    hub.wires.append(wire)
    hub.connect(AppTokens(wire, AppKey(str(APP_ID), Secret(private), app.installation_id)))
    hub.double.faults.before("POST", PULLS, lambda: hub.double.turn(HOUR_SECONDS))
    hub.double.faults.before("PUT", f"{PULLS}/*/merge", lambda: hub.double.turn(HOUR_SECONDS))
    task = await hub.task()
    assert await hub.bench.work("executor") == "completed"
    assert len(hub.double.journal.of("POST", "/app/installations/*/access_tokens")) == 3
    assert [one.status for one in hub.double.journal.of("POST", PULLS)] == [401, 201]
    await hub.merged_once(task)


async def test_a_revoked_token_waits_for_a_person(hub: Hub) -> None:
    """A given token cannot be renewed: the task says so, uncounted; with another one it ends."""
    token = hub.double.token()
    hub.connect(GivenToken(Secret(token)))
    hub.double.faults.before("POST", PULLS, lambda: hub.double.revoke(token))
    task = await hub.task()
    assert await hub.bench.work("executor") == "parked"
    row = await hub.bench.task(task)
    assert (row["status"], row["attempts"]) == ("blocked", 0)
    assert "token" in row["blocked_reason"]
    assert token not in row["blocked_reason"]
    hub.connect()
    await hub.bench.approver.execute("SELECT retry_task($1)", task)
    assert await hub.bench.work("executor") == "completed"
    await hub.merged_once(task)


@pytest.mark.parametrize(
    ("kind", "verb", "path"),
    [("primary", "PUT", f"{PULLS}/*/merge"), ("secondary", "POST", PULLS)],
)
async def test_a_rate_limit_puts_the_task_off(hub: Hub, kind: str, verb: str, path: str) -> None:
    """For as long as GitHub says, uncounted, and without a second request meanwhile."""
    if kind == "primary":
        hub.double.faults.primary_limit(verb, path, reset_seconds=WAIT_SECONDS)
    else:
        hub.double.faults.secondary_limit(verb, path, retry_after=WAIT_SECONDS)
    task = await hub.task()
    assert await hub.bench.work("executor") == "released"
    row = await hub.bench.task(task)
    assert (row["status"], row["attempts"]) == ("pending", 0)
    left = (row["run_after"] - datetime.now(UTC)).total_seconds()
    assert WAIT_SECONDS - CLOCKS_DIFFER_SECONDS < left <= WAIT_SECONDS
    asked = hub.double.journal.rest_calls
    await hub.bench.retry_now(task)
    assert await hub.bench.work("executor") == "released", "this process still keeps quiet"
    assert hub.double.journal.rest_calls == asked
    hub.connect()
    await hub.bench.retry_now(task)
    assert await hub.bench.work("executor") == "completed"
    await hub.merged_once(task)
