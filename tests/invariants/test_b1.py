"""B1: no call leaves before its highest price is set aside; spent + reserved <= cap, always.

Default: 3 races of 64 calls, 1 storm of 200 random reservations. Full: 100 and 20.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.errors import BudgetExhausted, LawRefused
from juggernaut.domain.model import Lease
from juggernaut.domain.purse import Most, Reservation
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_b import LINEAGE, ORDER, TEN
from tests.invariants.scene import Scene
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials

RACES = trials(3, 100)
STORMS = trials(1, 20)
CALLS, STORM_CALLS = 64, 200
TABLE = "SELECT count(*) FROM budgets WHERE spent_usd + reserved_usd > cap_usd"


async def reserve(scene: Scene, lease: Lease, usd: Decimal, tokens: int = 100) -> UUID | None:
    """Reserve; None when a purse refuses."""
    try:
        return await scene.swarm.store.reserve(lease, Reservation("m", "p", "d", Most(usd, tokens)))
    except BudgetExhausted as error:
        assert str(error).startswith("purse "), error
        return None


async def new_goal(scene: Scene, cap: int) -> UUID:
    """Insert a goal with a purse."""
    found: UUID = await scene.operator.fetchval(
        "INSERT INTO goals (title, budget_usd) VALUES ('g', $1) RETURNING id", cap
    )
    return found


async def leases_of(scene: Scene, goals: Sequence[UUID], per_goal: int) -> list[Lease]:
    """Add tasks of several types to goals, and claim them all."""
    kinds = ("code", "command")
    for goal in goals:
        for number in range(per_goal):
            await scene.swarm.add(goal_id=goal, task_type=kinds[number % 2], budget_usd=Decimal(20))
    session = await scene.swarm.worker()
    wanted = len(goals) * per_goal
    leases: list[Lease] = []
    while claims := await scene.swarm.store.claim(session, wanted):
        leases += [claim.lease for claim in claims]
    return leases


async def check_ten(scene: Scene) -> None:
    """64 calls at once from four tasks on a goal's purse for ten: exactly ten go out."""
    for _ in range(RACES):
        await scene.operator.execute("SELECT set_budget('day', 100000)")
        leases = await leases_of(scene, [await new_goal(scene, 10)], 4)
        answers = await asyncio.gather(
            *(reserve(scene, leases[n % len(leases)], Decimal(1)) for n in range(CALLS))
        )
        granted = [call for call in answers if call]
        assert len(granted) == 10, f"{len(granted)} calls of 64 went out of a purse for 10"
        assert await scene.operator.fetchval(TABLE) == 0
        assert await scene.violations() == []


async def check_tokens_and_lineage(scene: Scene) -> None:
    """A purse for tokens stops calls too, and so do those of the tasks that a task came from."""
    root = await scene.swarm.add(budget_usd=Decimal(3))
    child = await scene.swarm.add(parent_task_id=root)
    grandchild = await scene.swarm.add(parent_task_id=child)
    session = await scene.swarm.worker()
    claims = await scene.swarm.store.claim(session, 3)
    (lease,) = (claim.lease for claim in claims if claim.task.id == grandchild)
    granted = [await reserve(scene, lease, Decimal(1)) for _ in range(5)]
    assert sum(call is not None for call in granted) == 3, "the root's purse was overdrawn"
    await scene.operator.execute("SELECT set_budget('type:command', 100, 950)")
    (other,) = (claim.lease for claim in claims if claim.task.id == root)
    await scene.operator.execute(f"SELECT set_budget('task:{root}', 100)")
    granted = [await reserve(scene, other, Decimal("0.01"), 300) for _ in range(5)]
    assert sum(call is not None for call in granted) == 3, "the purse of tokens was overdrawn"
    old = "SELECT juggernaut.reserve_v2($1, $2, $3, 'm', 'p', 'd', 0.01, NULL, NULL, NULL)"
    with pytest.raises(asyncpg.PostgresError, match="an unknown number of tokens"):
        await scene.swarm.pool.fetch(old, other.task_id, other.fence, other.secret)


async def check_storm(scene: Scene) -> None:
    """200 random reservations over many purses, settled meanwhile: no deadlock, and it balances."""
    for storm in range(STORMS):
        dice = random.Random(storm)
        goals = [await new_goal(scene, dice.randint(5, 30)) for _ in range(3)]
        leases = await leases_of(scene, goals, 4)
        for scope in ("type:code", "type:command", "role:executor", "day"):
            await scene.operator.execute("SELECT set_budget($1, 100000, 10000000)", scope)
        spent = Decimal(0)

        async def one(lease: Lease, usd: Decimal, share: Decimal) -> Decimal:
            """Reserve, and mostly settle for less."""
            call = await reserve(scene, lease, usd)
            if call is None or share > 1:
                return Decimal(0)
            await scene.swarm.store.settle(call, usd * share, {"tokens": 50})
            return usd * share

        prices = [Decimal(dice.randint(1, 300)) / 100 for _ in range(STORM_CALLS)]
        shares = [Decimal(dice.randint(0, 12)) / 10 for _ in range(STORM_CALLS)]
        before = await scene.operator.fetchval("SELECT spent_usd FROM budgets WHERE scope = 'day'")
        try:
            costs = await asyncio.gather(
                *map(one, [dice.choice(leases) for _ in prices], prices, shares)
            )
        except LawRefused as error:
            raise AssertionError(f"a mover of money was refused: {error}") from error
        spent = sum(costs, Decimal(0))
        after = await scene.operator.fetchval("SELECT spent_usd FROM budgets WHERE scope = 'day'")
        assert after - before == spent
        assert await scene.operator.fetchval(TABLE) == 0
        assert await scene.violations() == []


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
async def test_ten_of_64_go_out(scene: Scene) -> None:
    """Of every race."""
    await check_ten(scene)


async def test_tokens_and_lineage(scene: Scene) -> None:
    """Dollars are not the only cap, and a task's own purse not the only one."""
    await check_tokens_and_lineage(scene)


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
async def test_a_storm_of_reservations_balances(scene: Scene) -> None:
    """Whatever the order in which they come."""
    await check_storm(scene)


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
@pytest.mark.parametrize("mutant", TEN, ids=lambda mutant: mutant.name)
async def test_mutants_of_the_race(scene: Scene, mutant: Mutant) -> None:
    """Each of them lets more out, or breaks on the net below."""
    await mutant.apply(scene.operator)
    with pytest.raises((AssertionError, LawRefused)):
        await check_ten(scene)


@pytest.mark.parametrize("mutant", LINEAGE, ids=lambda mutant: mutant.name)
async def test_mutants_of_tokens_and_lineage(scene: Scene, mutant: Mutant) -> None:
    """Each of them is seen."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await check_tokens_and_lineage(scene)


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
@pytest.mark.parametrize("mutant", ORDER, ids=lambda mutant: mutant.name)
async def test_mutants_of_the_storm(scene: Scene, mutant: Mutant) -> None:
    """A deadlock, or books that do not balance."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await check_storm(scene)
