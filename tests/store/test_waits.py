"""Blocking a task and waiting at the forge are free so many times a day, as giving back is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from uuid import UUID

import pytest

from juggernaut.domain.model import Claim, Lease, Sha
from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm, open_swarm

Way = Callable[[Swarm, Lease], Awaitable[None]]
FREE = 20
REPO = "acme/app"
EMPTY = "purse day: the next call may cost 0 "
ROW = "SELECT status, attempts FROM governance_tasks WHERE id = $1"
CALL = (
    "INSERT INTO juggernaut.model_calls (task_id, fence, model, purpose, digest, scopes,"
    " reserved_usd, state, cost_usd, login) VALUES ($1, $2, 'm', 'p', 'd', '{}', 1, $3, $4, 'x')"
)


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


async def row_of(swarm: Swarm, task: UUID) -> tuple[str, int]:
    """Read a task's status and what it has used up."""
    (row,) = await swarm.operator.fetch(ROW, task)
    return row["status"], row["attempts"]


async def block(swarm: Swarm, lease: Lease) -> None:
    """Block it for a purse that has enough, and let the duty bring it back."""
    assert await swarm.store.block(lease, EMPTY, "me")
    await swarm.pool.execute("SELECT juggernaut.refill_purses_v1()")


async def wait(swarm: Swarm, lease: Lease) -> None:
    """Wait at the forge, and tell of news at once."""
    task, store = lease.task_id, swarm.store
    assert await store.note_pull(lease, REPO, f"feature/{task}", 7, Sha("a" * 40))
    assert await store.park_pull(lease, "", "checks", "red", "ci")
    await store.saw_pull(task, lease.fence, f"s{lease.fence}", "checks_red", f"k{lease.fence}", "")


async def again(swarm: Swarm, way: Way, times: int) -> Claim:
    """Claim and end it in this way, again and again."""
    session = await swarm.worker()
    for _ in range(times):
        claim = await swarm.claim_one(session)
        await way(swarm, claim.lease)
    return claim


@pytest.mark.parametrize("way", [block, wait])
async def test_waiting_without_end_has_an_end(swarm: Swarm, way: Way) -> None:
    """Free at first, then an attempt each time; with the last one it waits for a person."""
    task = await swarm.add(task_type="code", repo=REPO, max_attempts=2)
    await again(swarm, way, FREE)
    assert await row_of(swarm, task) == ("pending", 0)
    await again(swarm, way, 1)
    assert await row_of(swarm, task) == ("pending", 1)
    last = await again(swarm, way, 1)
    assert await row_of(swarm, task) == ("blocked", 2)
    assert await swarm.store.block(last.lease, "said twice", "me"), "its answer was lost"
    await swarm.operator.execute("SELECT retry_task($1)", task)
    assert await row_of(swarm, task) == ("pending", 2)
    await swarm.operator.execute(
        "UPDATE juggernaut.attempts SET ended_at = ended_at - interval '2 days'"
    )
    await again(swarm, way, 1)
    assert await row_of(swarm, task) == ("pending", 2), "yesterday does not count"


async def test_blocks_waits_and_giving_back_are_counted_together(swarm: Swarm) -> None:
    """No way out is free because another one was used up."""
    task = await swarm.add(task_type="code", repo=REPO)
    await again(swarm, block, FREE // 2)
    await again(swarm, wait, FREE // 2)
    await again(swarm, block, 1)
    assert await row_of(swarm, task) == ("pending", 1)


@pytest.mark.parametrize(("state", "usd", "paid"), [("settled", 0.01, 0), ("settled", 0, 1)])
async def test_an_attempt_that_spent_money_is_not_counted(
    swarm: Swarm, state: str, usd: float, paid: int
) -> None:
    """The purses bound those; what costs nothing proves nothing."""
    task = await swarm.add(task_type="code", repo=REPO)
    first = await again(swarm, block, 1)
    await swarm.operator.execute(CALL, task, first.lease.fence, state, Decimal(str(usd)))
    await again(swarm, block, FREE - 1)
    assert await row_of(swarm, task) == ("pending", 0)
    await again(swarm, block, 1)
    assert await row_of(swarm, task) == ("pending", paid)
