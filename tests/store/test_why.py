"""Why a task that could be claimed is not: nobody handles it, or who does is paused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm, open_swarm


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


async def reason(swarm: Swarm, task: UUID) -> str:
    """Give what why() and why_idle say of a task."""
    found: str = await swarm.operator.fetchval("SELECT reason FROM why($1)", task)
    idle = await swarm.operator.fetchval("SELECT reason FROM why_idle WHERE task_id = $1", task)
    assert found == idle
    return found


@pytest.mark.parametrize("scope", ["role:executor", "worker:w1"])
async def test_the_pause_of_the_only_one_who_could_is_named(swarm: Swarm, scope: str) -> None:
    """And no longer when another worker can take the task."""
    task = await swarm.add()
    session = await swarm.worker()
    assert await reason(swarm, task) == "ready: waits for a free worker"
    await swarm.operator.execute("SELECT pause_swarm($1, 'lunch')", scope)
    assert await swarm.store.claim(session, 1) == ()
    said = await reason(swarm, task)
    assert scope in said
    assert "lunch" in said
    await swarm.operator.execute("SELECT grant_capability('scribe', 'command')")
    await swarm.worker("w2", "scribe")
    assert await reason(swarm, task) == "ready: waits for a free worker"


async def test_only_pauses_of_those_who_could_are_named(swarm: Swarm) -> None:
    """Another kind that is paused has nothing to do with it."""
    task = await swarm.add()
    await swarm.worker()
    await swarm.worker("a1", "analyst")
    for scope in ("role:analyst", "worker:nobody", "worker:w1"):
        await swarm.operator.execute("SELECT pause_swarm($1, 'lunch')", scope)
    said = await reason(swarm, task)
    assert "worker:w1" in said
    assert "analyst" not in said
    assert "nobody" not in said


async def test_a_type_that_no_live_worker_handles_is_named(swarm: Swarm) -> None:
    """A grant alone takes nothing: the worker has to have a handler."""
    task = await swarm.add()
    session = await swarm.worker(handles=("test",))
    assert await swarm.store.claim(session, 1) == ()
    assert await reason(swarm, task) == "no live worker handles task type command"
    await swarm.worker("w2")
    assert await reason(swarm, task) == "ready: waits for a free worker"


async def test_a_plain_worker_handles_what_it_is_granted(
    swarm: Swarm, database: Database, worker_login: Login
) -> None:
    """It declares nothing that counts, and claims by itself."""
    task = await swarm.add()
    plain = await database.connect(worker_login)
    await plain.execute(
        "INSERT INTO worker_registry (worker_id, worker_type, status)"
        " VALUES ('raw', 'executor', 'active')"
    )
    assert await reason(swarm, task) == "ready: waits for a free worker"
