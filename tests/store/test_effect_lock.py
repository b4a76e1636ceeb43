"""Row-lock mode (F4): while an effect is under way nobody else can begin the task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from juggernaut.adapters.forges.local import LocalForge
from juggernaut.domain.errors import LeaseLost
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Pull
from tests.roles.bench import CRITERIA, Bench
from tests.roles.conftest import bench

__all__ = ["bench"]


async def test_a_locked_task_is_neither_swept_nor_claimed(bench: Bench) -> None:
    """Its own fenced writes go on; the sweep and a claim pass it by until the block ends."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    found = await bench.claim("executor")
    assert found is not None
    store, lease = bench.services.store, found.lease
    async with store.effect_lock(lease):
        assert await store.still_held(lease)
        record = await store.intend(lease, "pull", "feature/x", {"branch": "feature/x"})
        assert record is not None
        assert await store.confirm(lease, record.id, {"number": 1})
        # The worker pauses past its lease.
        await bench.operator.execute(
            "UPDATE juggernaut.sessions SET expires_at = clock_timestamp()"
        )
        bench.sessions.clear()
        await store.sweep()
        assert (await bench.task(task))["status"] == "in_progress"
        assert await bench.claim("executor") is None
    await store.sweep()
    assert (await bench.task(task))["status"] == "pending"
    with pytest.raises(LeaseLost):
        async with store.effect_lock(lease):
            raise AssertionError("an old lease got the lock")


async def test_a_ready_task_under_the_lock_is_passed_by(bench: Bench) -> None:
    """A claim does not wait for a row that is locked this way."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    async with bench.operator.transaction():
        await bench.operator.execute(
            "SELECT FROM governance_tasks WHERE id = $1 FOR KEY SHARE", task
        )
        assert await asyncio.wait_for(bench.claim("executor"), 10) is None
    assert await bench.claim("executor") is not None


async def test_many_locks_leave_connections_for_the_work(bench: Bench) -> None:
    """More attempts than connections lock at once, and each gets its turn."""
    leases = []
    for number in range(6):
        await bench.add_task("code", acceptance_criteria=CRITERIA, title=f"Task {number}")
        found = await bench.claim("executor")
        assert found is not None
        leases.append(found.lease)

    async def work(place: int) -> bool:
        """Lock, and write beside the lock."""
        async with bench.services.store.effect_lock(leases[place]):
            return await bench.services.store.still_held(leases[place])

    assert all(await asyncio.wait_for(asyncio.gather(*map(work, range(6))), 15))


class PausedForge(LocalForge):
    """The local forge, where something happens right before a merge."""

    pause: Callable[[], Awaitable[None]]

    async def merge(self, repo: str, number: int, expected: Sha, title: str, body: str) -> Pull:
        """Let it happen, then merge."""
        await self.pause()
        return await super().merge(repo, number, expected, title, body)


async def test_nobody_begins_while_an_attempt_merges(bench: Bench) -> None:
    """A lease that runs out during the merge is not swept before the merge has ended."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    forge = bench.services.forge
    assert isinstance(forge, LocalForge)
    paused = PausedForge(forge._pulls, forge._copies.parent)
    seen: list[str] = []

    async def pause() -> None:
        """Let the lease run out, sweep, and try to claim."""
        await bench.operator.execute(
            "UPDATE juggernaut.sessions SET expires_at = clock_timestamp()"
        )
        bench.sessions.clear()
        await bench.services.store.sweep()
        seen.append((await bench.task(task))["status"])

    paused.pause = pause
    bench.services = replace(bench.services, forge=paused)
    assert await bench.work("executor") == "lost"
    assert seen == ["in_progress"]
    bench.services = replace(bench.services, forge=forge)
    await bench.services.store.sweep()
    await bench.retry_now(task)
    assert await bench.work("executor") == "completed"
    assert len(await bench.rows("SELECT FROM juggernaut.pull_requests")) == 1
    assert len(bench.origin.log("main")) == 2
