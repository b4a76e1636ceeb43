"""What becomes of a task whose need fails, and how long a task with low priority waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.model import Session
from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm, command_completion, open_swarm


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


async def fail_next(swarm: Swarm, session: Session) -> UUID:
    """Claim a task and let it fail for good."""
    claim = await swarm.claim_one(session)
    assert await swarm.store.fail(claim.lease, "command_failed", "no", retry_after=None) == "failed"
    return claim.task.id


@pytest.mark.parametrize(
    ("policy", "status"), [("block", "blocked"), ("fail", "failed"), ("run", "pending")]
)
@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_a_failed_need_moves_its_dependants(
    swarm: Swarm, policy: str, status: str, end: str
) -> None:
    """A person decides, it fails too, or it runs without."""
    need = await swarm.add()
    task = await swarm.add(depends_on=[need], on_failed_need=policy)
    assert await swarm.status(task) == "waiting"
    if end == "failed":
        assert await fail_next(swarm, await swarm.worker()) == need
    else:
        await swarm.operator.execute("SELECT cancel_task($1, 'no')", need)
    assert await swarm.status(task) == status
    why = await swarm.operator.fetchval("SELECT reason FROM why($1)", task)
    assert (str(need) in why) == (policy != "run")
    assert not await swarm.operator.fetch("SELECT * FROM law_violations")


async def test_a_failure_goes_down_the_whole_chain(swarm: Swarm) -> None:
    """Each of the chain names the one before it, and nobody waits for ever."""
    first = await swarm.add()
    second = await swarm.add(depends_on=[first], on_failed_need="fail")
    third = await swarm.add(depends_on=[second], on_failed_need="fail")
    await fail_next(swarm, await swarm.worker())
    assert [await swarm.status(task) for task in (second, third)] == ["failed", "failed"]
    with pytest.raises(asyncpg.PostgresError, match="retry that one first"):
        await swarm.operator.execute("SELECT retry_task($1)", second)
    await swarm.operator.execute("SELECT retry_task($1)", first)
    await swarm.operator.execute("SELECT retry_task($1)", second)
    assert await swarm.status(second) == "waiting"
    session = await swarm.worker("w2")
    for expected in (first, second):
        claim = await swarm.claim_one(session)
        assert claim.task.id == expected
        assert await swarm.store.complete(claim.lease, command_completion())


async def test_running_without_one_need_still_waits_for_the_other(swarm: Swarm) -> None:
    """Only the failed need is given up."""
    failing = await swarm.add(priority="critical")
    other = await swarm.add(priority="low")
    task = await swarm.add(depends_on=[failing, other], on_failed_need="run")
    session = await swarm.worker()
    assert await fail_next(swarm, session) == failing
    assert await swarm.status(task) == "waiting"
    claim = await swarm.claim_one(session)
    assert claim.task.id == other
    assert await swarm.store.complete(claim.lease, command_completion())
    assert await swarm.status(task) == "pending"


@pytest.mark.parametrize(("seconds", "first"), [(-5, "critical"), (5, "low")])
async def test_a_low_task_is_overtaken_for_its_weight_and_no_longer(
    swarm: Swarm, seconds: int, first: str
) -> None:
    """What became ready more than the weight of `low` later comes after it, however urgent."""
    weight = await swarm.operator.fetchval(
        "SELECT weight_seconds FROM juggernaut.priorities WHERE priority = 'low'"
    )
    low = await swarm.add(priority="low")
    # As if it had become ready so long ago: no test waits for two hours.
    await swarm.operator.execute(
        "UPDATE governance_tasks SET claim_key = claim_key - $2::bigint WHERE id = $1",
        low,
        (weight + seconds) * 1000,
    )
    critical = await swarm.add(priority="critical")
    claim = await swarm.claim_one(await swarm.worker())
    assert claim.task.id == {"low": low, "critical": critical}[first]
