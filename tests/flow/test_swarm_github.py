"""A swarm of two executors lands many tasks on one repository at GitHub's double.

Real processes, real git over HTTP, a scripted model. Default: 6 tasks, 3 of them in the same two
files. Full: 20 and 8. On a real repository: JUGGERNAUT_PUBLIC_REPO (see swarm_repo.py).
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from uuid import UUID

import pytest
import yaml

from tests.chaos.forked import fork
from tests.fakes.github.double import GitHubDouble
from tests.flow.swarm_repo import Change, Ground, prepare
from tests.flow.workers import Swarm, swarm
from tests.invariants.trials import FULL, trials

__all__ = ["swarm"]

TOGETHER = trials(3, 8)
APART = trials(3, 12)
PUBLIC = "JUGGERNAUT_PUBLIC_REPO" in os.environ
PATIENCE_SECONDS = 900 if FULL or PUBLIC else 100
MOST_CALLS = 12
QUICK = {"pulls_seconds": 0.5, "pull_look_seconds": 0.5, "footprint_seconds": 0.5}


@dataclass(frozen=True, slots=True)
class Yard:
    """A swarm that runs, and the ground that it works on."""

    swarm: Swarm
    ground: Ground
    double: GitHubDouble
    changes: Sequence[Change]

    async def add(self, change: Change, number: int) -> UUID:
        """Add a task; every second one says which files it is about to change."""
        payload = {"files": change.files} if number % 2 else {}
        return await self.swarm.add(
            "code",
            change.title,
            description=change.description,
            repo=self.ground.repo.full_name,
            acceptance_criteria=change.criteria(),
            payload=payload,
        )

    def calls(self) -> tuple[int, list[str]]:
        """Count the calls that cost quota, and name them.

        The settings of a repository are asked once for many tasks, and do not count.
        """
        path = f"/repos/{self.ground.repo.full_name}"
        rules = (f"{path}/branches/", f"{path}/rules/")
        counted = [
            f"{one.method} {one.path}"
            for one in self.double.journal.of()
            if one.counted and one.path != path and not one.path.startswith(rules)
        ]
        return len(counted), counted

    async def replays(self) -> int:
        """Count how often a change was put on a newer base."""
        found: int = await self.swarm.operator.fetchval(
            "SELECT count(*) FROM execution_logs WHERE action = 'train_replayed'"
        )
        return found


@pytest.fixture
async def yard(swarm: Swarm, github_double: GitHubDouble, tmp_path: Path) -> AsyncIterator[Yard]:
    """Two executors with a script for every change."""
    ground = prepare(github_double, tmp_path)
    changes = ground.changes(TOGETHER, APART + 1)
    script = {"label": "swarm", "conversations": [one.conversation() for one in changes]}
    (tmp_path / "script.yaml").write_text(yaml.safe_dump(script), encoding="utf-8")
    for name, value in QUICK.items():
        await swarm.operator.execute(
            "UPDATE juggernaut.thresholds SET value = $2 WHERE name = $1", name, value
        )
    settings = {
        "WORKER_DATABASE_URL": swarm.worker_url,
        "WORKER_TYPE": "executor",
        "GITHUB_TOKEN": github_double.token(),
        "GITHUB_API_URL": github_double.url,
        "JUGGERNAUT_SCRIPT": str(tmp_path / "script.yaml"),
        "JUGGERNAUT_TEST_COMMAND": join(ground.test),
        "JUGGERNAUT_PULLS": "quality=report",
        "JUGGERNAUT_SLOTS": "executor=2",
        "LOG_LEVEL": "warning",
        "LOG_FORMAT": "json",
    }
    with ExitStack() as stack:
        for name in ("one", "two"):
            stack.callback(fork(tmp_path, name, settings).end)
        yield Yard(swarm, ground, github_double, changes)


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE_SECONDS + 100)
async def test_two_executors_land_every_task(
    yard: Yard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All merged, the suite green after each, at most one replay per task on average."""
    ground, first = yard.ground, yard.ground.commits()
    alone = await yard.add(yard.changes[-1], 0)
    [row] = await yard.swarm.ended([alone], PATIENCE_SECONDS)
    assert row["status"] == "completed", row["error_message"]
    calls, names = yard.calls()
    assert calls <= MOST_CALLS, names

    began = time.monotonic()
    tasks = [await yard.add(one, number) for number, one in enumerate(yard.changes[:-1])]
    rows = await yard.swarm.ended(tasks, PATIENCE_SECONDS)
    took = time.monotonic() - began
    assert [row["status"] for row in rows] == ["completed"] * len(tasks), [
        (row["title"], row["status"], row["error_message"], row["blocked_reason"]) for row in rows
    ]
    landed = ground.commits()[: -len(first)]
    assert len(landed) == len(tasks) + 1
    merged = {pull.merged_sha for pull in ground.repo.pulls.values()}
    assert (merged, len(ground.repo.pulls)) == (set(landed), len(landed))
    replays = await yard.replays()
    assert replays <= len(tasks)
    assert await yard.swarm.operator.fetch("SELECT * FROM law_violations") == []
    # Who merges is chance; both had a part in it.
    workers = await yard.swarm.operator.fetch("SELECT DISTINCT worker_id FROM juggernaut.attempts")
    assert len(workers) == 2
    (tmp_path / "suites").mkdir()
    for sha in landed:
        assert await asyncio.to_thread(ground.suite_is_green, sha, tmp_path / "suites"), sha
    if FULL or PUBLIC:
        more = yard.calls()[0] - calls
        with capsys.disabled():
            sys.stdout.write(
                f"\n{len(tasks)} tasks in {took:.0f} s, {replays} replays; {calls} calls that cost"
                f" quota for a task alone, {more / len(tasks):.1f} for each in the crowd\n"
            )
