"""A task that is cancelled before its time holds nobody up when the time comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm, open_swarm

PAUSE = 0.3


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


@pytest.mark.parametrize("how", ["later", "retry", "goal"])
async def test_what_was_cancelled_in_its_pause_stays_quiet(swarm: Swarm, how: str) -> None:
    """A later start, the pause before a retry, and the end of the whole goal."""
    session = await swarm.worker()
    if how == "later":
        soon = datetime.now(UTC) + timedelta(seconds=PAUSE)
        task = await swarm.add(run_after=soon)
    else:
        goal = await swarm.operator.fetchval("SELECT add_goal('g')")
        task = await swarm.add(goal_id=goal, priority="critical")
        claim = await swarm.claim_one(session)
        assert claim.task.id == task
        await swarm.store.fail(claim.lease, "x", "broke", retry_after=PAUSE)
    if how == "goal":
        await swarm.operator.execute("SELECT cancel_goal($1)", goal)
    else:
        await swarm.operator.execute("SELECT cancel_task($1)", task)
    assert await swarm.status(task) == "cancelled"
    await asyncio.sleep(PAUSE + 0.05)
    for _ in range(2):
        await swarm.store.claim(session, 1)
        assert (await swarm.store.sweep())["errors"] == []
    due = "SELECT due_at FROM governance_tasks WHERE id = $1"
    assert await swarm.operator.fetchval(due, task) is None
    assert await swarm.operator.fetchval("SELECT count(*) FROM open_alerts") == 0
