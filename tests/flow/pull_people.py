"""What people, their CI and their hands do to a pull request of the local forge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.model import Json, Sha
from juggernaut.domain.pulls import Pull
from juggernaut.lifecycle.watch import follow_pulls
from tests.adapters.forges.repos import git
from tests.roles.bench import CRITERIA, Bench
from tests.roles.conftest import bench

__all__ = ["bench"]

CI = "ci/build"
LOOKS = 60
LOOK_PAUSE_SECONDS = 0.05
WAITING = """
SELECT g.status, g.blocked_reason, g.error_message, w.* FROM governance_tasks g
  LEFT JOIN juggernaut.pull_watches w ON w.task_id = g.id
"""


@dataclass(frozen=True, slots=True)
class LocalPeople:
    """A person with an approver's login, and the CI of the repository."""

    bench: Bench

    async def protect(
        self, checks: Sequence[str] = (), reviews: int = 0, up_to_date: bool = False
    ) -> None:
        """Protect the repository, as its owner would."""
        await self.bench.operator.execute(
            "SELECT protect_repository($1, $2, $3, $4)",
            self.bench.origin.name,
            list(checks),
            reviews,
            up_to_date,
        )

    async def pull(self, task: UUID) -> Pull:
        """Find the pull request of a task."""
        found = await self.bench.services.forge.find_pull(self.bench.origin.name, f"feature/{task}")
        assert found is not None, "there is no pull request"
        return found

    async def ci(self, task: UUID, name: str, passed: bool, log: str = "") -> None:
        """Let a check end at the head of the pull request."""
        head = (await self.pull(task)).head_sha
        await self._do(
            "SELECT report_check($1, $2, $3, $4, $5)",
            self.bench.origin.name,
            head,
            name,
            passed,
            log,
        )

    async def review(self, task: UUID, verdict: str, said: str = "") -> None:
        """Review the pull request."""
        number = (await self.pull(task)).number
        await self._do("SELECT review_pull($1, $2, $3)", number, verdict, said)

    async def comment(self, task: UUID, said: str, path: str, line: int) -> None:
        """Comment on a line."""
        number = (await self.pull(task)).number
        await self._do("SELECT comment_pull($1, $2, $3, $4)", number, said, path, line)

    async def close(self, task: UUID, reason: str) -> None:
        """Close the pull request without a merge."""
        await self._do("SELECT close_pull($1, $2)", (await self.pull(task)).number, reason)

    async def merge(self, task: UUID) -> Sha:
        """Merge the pull request by hand."""
        forge, repo, pull = self.bench.by_hand, self.bench.origin.name, await self.pull(task)
        await forge.mark_ready(repo, pull.number)
        done = await forge.merge(repo, pull.number, pull.head_sha, "By hand", "By hand.")
        assert done.merged_sha is not None
        return done.merged_sha

    def push_over(self, task: UUID) -> Sha:
        """Push a commit of one's own to the branch of the task."""
        branch = f"feature/{task}"
        git(self.bench.origin.clone, "fetch", "-q", "origin")
        return self.bench.origin.push(branch, {"mine.py": "X = 1\n"}, f"origin/{branch}")

    async def answers(self, task: UUID) -> list[str]:
        """Give what the swarm said on the pull request."""
        rows = await self.bench.rows(
            "SELECT body FROM juggernaut.pull_comments WHERE key IS NOT NULL AND number = $1"
            " ORDER BY id",
            (await self.pull(task)).number,
        )
        return [row["body"] for row in rows]

    async def _do(self, statement: str, *values: object) -> None:
        """Run a statement as the person's login."""
        await self.bench.approver.execute(statement, *values)


async def look_now(bench: Bench) -> Json:
    """Let every waiting pull request be due, and let the duty look at it."""
    await bench.operator.execute("UPDATE juggernaut.pull_watches SET next_look_at = now()")
    return await follow_pulls(bench.services)


async def why(bench: Bench, task: UUID) -> asyncpg.Record:
    """Read why a task does not move."""
    return (await bench.rows("SELECT * FROM why($1)", task))[0]


async def parked(bench: Bench, **columns: object) -> UUID:
    """Let a code task work until its pull request waits at the forge."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, **columns)
    assert await bench.work("executor") == "parked"
    row = await bench.task(task)
    assert (row["status"], row["attempts"]) == ("awaiting_merge", 0)
    return task


async def waits(bench: Bench, task: UUID) -> str:
    """Give the reason why a task waits at the forge, with its owner; nobody works on it."""
    assert (await look_now(bench))["woken"] == 0
    assert await bench.claim("executor") is None, "it holds no worker"
    told = await why(bench, task)
    assert told["deadline"] is not None
    return f"{told['reason']} | {told['owner']}"


async def woken(bench: Bench) -> str:
    """Let the duty look, and work on what it brought back; gives the last word.

    A look that found nothing yet is repeated, as the duty does.
    """
    for _ in range(LOOKS):
        if (found := await look_now(bench))["woken"]:
            break
        await asyncio.sleep(LOOK_PAUSE_SECONDS)
    assert found["woken"] == 1, f"the last look: {found}; {await bench.rows(WAITING)}"
    return await bench.work("executor")


@pytest.fixture
async def people(bench: Bench) -> AsyncIterator[LocalPeople]:
    """People at the forge of the bench."""
    yield LocalPeople(bench)
