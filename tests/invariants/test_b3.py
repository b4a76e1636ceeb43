"""B3: a crash keeps the reservation; it is settled, or written off at full price, never freed.

Default: 1 process killed with -9 at its model call, 20 attempts abandoned. Full: 20 and 1,000.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.purse import Most, Reservation
from tests.app.cli_process import start
from tests.fakes.wire_anthropic import WireAnthropic
from tests.fakes.wire_server import KEY, Fault
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_b import CRASH
from tests.invariants.scene import Scene
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials

KILLS = trials(1, 20)
ABANDONED = trials(20, 1_000)
LATE = "SELECT juggernaut.settle_v1($1, 0.001, '{\"tokens\": 1}')"


async def write_off_after(scene: Scene, seconds: int) -> None:
    """Set when a call of an ended attempt is written off, and sweep."""
    await scene.operator.execute(
        "UPDATE juggernaut.thresholds SET value = $1 WHERE name = 'write_off_seconds'", seconds
    )
    await scene.swarm.store.sweep()


async def purse(scene: Scene) -> tuple[Decimal, Decimal, int, int]:
    """Read the day's purse."""
    row = await scene.operator.fetchrow("SELECT * FROM budgets WHERE scope = 'day'")
    assert row is not None
    return row["spent_usd"], row["reserved_usd"], row["spent_tokens"], row["reserved_tokens"]


async def check_kept(scene: Scene, call: UUID) -> None:
    """Nothing but the sweep's write-off touches the call of a dead process, and then for good."""
    query = "SELECT * FROM juggernaut.model_calls WHERE id = $1"
    row = await scene.operator.fetchrow(query, call)
    assert row is not None and row["state"] == "reserved" and row["reserved_usd"] > 0
    spent, _, tokens, _ = await purse(scene)
    await write_off_after(scene, 3_600)
    await scene.expire()
    await write_off_after(scene, 3_600)
    kept = await scene.operator.fetchrow(query, call)
    assert kept is not None and kept["state"] == "reserved", "freed by guess"
    assert await purse(scene) == (spent, row["reserved_usd"], tokens, row["reserved_tokens"])
    await write_off_after(scene, 0)
    lost = await scene.operator.fetchrow(query, call)
    assert lost is not None and lost["state"] == "written_off"
    after = (spent + row["reserved_usd"], Decimal(0), tokens + row["reserved_tokens"], 0)
    assert await purse(scene) == after, "not written off at full price"
    assert await scene.swarm.pool.fetchval(LATE, call) is False, "settled after it was written off"
    assert await purse(scene) == after
    assert await scene.violations() == []


async def abandon(scene: Scene) -> UUID:
    """Reserve with a landing turn set aside, and never come back."""
    claim = await scene.claimed()
    return await scene.swarm.store.reserve(
        claim.lease,
        Reservation("m", "code", "d", Most(Decimal("0.01"), 500), Most(Decimal("0.002"), 100)),
    )


async def check_abandoned(scene: Scene) -> None:
    """What was set aside for landing comes back each time, the price of the call does not."""
    for _ in range(ABANDONED):
        await check_one_abandoned(scene)


async def check_one_abandoned(scene: Scene) -> None:
    """One of them."""
    await write_off_after(scene, 3_600)
    call = await abandon(scene)
    assert (await purse(scene))[1] == Decimal("0.012"), "the landing turn is not set aside"
    await scene.expire()
    await scene.swarm.store.sweep()
    await check_kept(scene, call)
    await scene.operator.execute("SELECT cancel_task(id) FROM governance_tasks")


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
async def test_a_killed_process_has_paid(scene: Scene, tmp_path: Path) -> None:
    """It was killed with -9: a real worker whose provider does not answer."""
    login = scene.database.url_for(scene.worker.name, scene.worker.password)
    for _ in range(KILLS):
        async with WireAnthropic(faults=[Fault.STALL] * 4) as server:
            await scene.operator.execute("INSERT INTO goals (title) VALUES ('a goal')")
            process = await start(
                tmp_path,
                *("run", "--type", "orchestrator"),
                WORKER_DATABASE_URL=login,
                ANTHROPIC_API_KEY=KEY,
                ANTHROPIC_BASE_URL=server.url,
            )
            reading = asyncio.create_task(process.communicate())
            try:
                await asyncio.to_thread(server.wait_for_request)
            finally:
                process.kill()
                await reading
        call = await scene.operator.fetchval(
            "SELECT id FROM juggernaut.model_calls WHERE state = 'reserved'"
        )
        assert call is not None, "a request went out without a reservation"
        await check_kept(scene, call)
        await scene.operator.execute("SELECT cancel_goal(id) FROM goals WHERE status = 'active'")


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
async def test_abandoned_attempts_have_paid(scene: Scene) -> None:
    """By the database alone."""
    await check_abandoned(scene)


@pytest.mark.parametrize("mutant", CRASH, ids=lambda mutant: mutant.name)
async def test_mutants(scene: Scene, mutant: Mutant) -> None:
    """Each frees or spends what it should not."""
    await mutant.apply(scene.operator)
    with pytest.raises((AssertionError, asyncpg.CheckViolationError)):
        await check_one_abandoned(scene)
