"""A purse that an operator deletes, makes anew or edits goes on balancing, and bounds spending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.errors import BudgetExhausted
from juggernaut.domain.model import Claim
from juggernaut.domain.purse import Most, Reservation
from tests.fixtures_postgres import Database, Login
from tests.invariants.scene import Scene, open_scene

PURSE = "SELECT cap_usd, spent_usd, reserved_usd, reserved_tokens FROM budgets WHERE scope = $1"
NOW = "UPDATE juggernaut.thresholds SET value = 0 WHERE name = 'write_off_seconds'"
EDIT = "UPDATE {} SET budget_usd = {} WHERE id = $1"


@pytest.fixture
async def scene(database: Database, worker_login: Login) -> AsyncIterator[Scene]:
    """A database with one login of each kind."""
    async with open_scene(database, worker_login) as made:
        yield made


async def reserve(scene: Scene, claim: Claim, usd: str, landing: Most | None = None) -> UUID:
    """Reserve a call of ten tokens."""
    most = Most(Decimal(usd), 10)
    return await scene.swarm.store.reserve(claim.lease, Reservation("m", "p", "d", most, landing))


async def purse(scene: Scene, scope: str) -> tuple[object, ...]:
    """Read cap, spent and reserved dollars, and reserved tokens."""
    row = await scene.operator.fetchrow(PURSE, scope)
    assert row is not None
    return tuple(row)


async def test_a_purse_made_anew_settles_what_is_on_the_way(scene: Scene) -> None:
    """A purse of a day and one without; by a worker and by a write-off, which nobody can lose."""
    operator, settle = scene.operator, scene.swarm.store.settle
    await operator.execute("SELECT set_budget('type:test', 5)")
    claim = await scene.claimed(task_type="test")
    first = await reserve(scene, claim, "0.5", Most(Decimal("0.25"), 4))
    await reserve(scene, claim, "0.1")
    await operator.execute("DELETE FROM budgets")
    with pytest.raises(asyncpg.PostgresError, match=r"0\.85 US dollars and 24 tokens are .* res"):
        await operator.execute("SELECT set_budget('day', 0.8)")
    for scope in ("day", "type:test"):
        await operator.execute("SELECT set_budget($1, 9)", scope)
        assert await purse(scene, scope) == (9, 0, Decimal("0.85"), 24)
    assert await scene.violations() == []
    await settle(first, Decimal("0.4"), {"tokens": 5})
    await scene.expire()
    await scene.swarm.store.sweep()
    for change in ("DELETE FROM", "UPDATE"):
        what = "SET name = 'x'" if change == "UPDATE" else "WHERE name = 'write_off_seconds'"
        with pytest.raises(asyncpg.PostgresError, match="none is removed or renamed"):
            await operator.execute(f"{change} juggernaut.thresholds {what}")
    await operator.execute(NOW)
    assert (await scene.swarm.store.sweep())["errors"] == []
    for scope in ("day", "type:test"):
        assert await purse(scene, scope) == (9, Decimal("0.5"), 0, 0)
    assert await scene.violations() == []


async def test_a_purse_typed_by_hand_settles_too(scene: Scene) -> None:
    """It has nothing reserved, and gives back no more than it has."""
    call = await reserve(scene, await scene.claimed(), "0.5")
    await scene.operator.execute(
        "DELETE FROM budgets;"
        "INSERT INTO budgets (scope, cap_usd, period_start)"
        " VALUES ('day', 0.3, (clock_timestamp() AT TIME ZONE 'UTC')::date)"
    )
    await scene.swarm.store.settle(call, Decimal("0.4"), {"tokens": 5})
    assert await purse(scene, "day") == (Decimal("0.3"), Decimal("0.3"), 0, 0)


async def test_nobody_settles_while_a_purse_is_made(scene: Scene) -> None:
    """What is settled at that moment is not reserved in the new purse."""
    call = await reserve(scene, await scene.claimed(), "0.5")
    await scene.operator.execute("DELETE FROM budgets")
    settling = await scene.database.connect(scene.worker)
    turn = settling.transaction()
    await turn.start()
    await settling.fetchval("SELECT juggernaut.settle_v1($1, 0.4, '{}')", call)
    making = asyncio.create_task(scene.operator.execute("SELECT set_budget('day', 5)"))
    await asyncio.sleep(0.2)
    await turn.commit()
    await making
    assert await purse(scene, "day") == (5, 0, 0, 0)
    assert await scene.violations() == []


async def test_a_budget_that_is_edited_bounds(scene: Scene) -> None:
    """Of a task and of a goal: given later, changed, and not below what is on the way, nor away."""
    operator = scene.operator
    goal = await operator.fetchval("INSERT INTO goals (title) VALUES ('g') RETURNING id")
    await operator.execute("UPDATE governance_tasks SET status = 'cancelled'")
    claim = await scene.claimed(goal_id=goal)
    things = (("governance_tasks", "task", claim.task.id), ("goals", "goal", goal))
    for table, kind, name in things:
        await operator.execute(EDIT.format(table, "0.01"), name)
        assert await scene.violations() == []
        with pytest.raises(BudgetExhausted, match=f"purse {kind}:"):
            await reserve(scene, claim, "0.1")
        await operator.execute(EDIT.format(table, "3"), name)
    await reserve(scene, claim, "2")
    for table, kind, name in things:
        for value, why in (("1.9", "cannot be below"), ("NULL", "would go on"), ("'NaN'", "price")):
            with pytest.raises(asyncpg.PostgresError, match=why):
                await operator.execute(EDIT.format(table, value), name)
        assert await purse(scene, f"{kind}:{name}") == (3, 0, 2, 10)
        await operator.execute("DELETE FROM budgets WHERE scope = $1", f"{kind}:{name}")
        await operator.execute(EDIT.format(table, "4"), name)
        assert await purse(scene, f"{kind}:{name}") == (4, 0, 2, 10)
        await operator.execute("DELETE FROM budgets WHERE scope = $1", f"{kind}:{name}")
        await operator.execute(EDIT.format(table, "NULL"), name)
    assert await scene.violations() == []
