"""P3: who creates tasks creates no power: no lower floor, no purse, no depth, no other creators."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from juggernaut.domain.model import Claim
from tests.invariants.asking import refused
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_ap import MUTANTS
from tests.invariants.scene import Scene

PROPOSE = "SELECT juggernaut.propose_tasks_v1($1, $2, $3, $4::text::jsonb)"
CHILD = {"key": "a", "title": "t", "task_type": "code", "risk": "low", "budget_usd": 99}


def lease(claim: Claim) -> tuple[UUID, int, UUID]:
    """Give the three parts of a lease."""
    return claim.lease.task_id, claim.lease.fence, claim.lease.secret


async def check(scene: Scene) -> None:
    """An executor proposes nothing; a planner proposes within bounds."""
    worker = await scene.database.connect(scene.worker)
    claim = await scene.claimed()
    await refused(worker, PROPOSE, *lease(claim), json.dumps([CHILD]))
    await scene.operator.execute("SELECT add_goal('g')")
    planner = await scene.swarm.worker("o", "orchestrator")
    planning = await scene.swarm.claim_one(planner)
    for bad in ("planning", "dance", None):
        await refused(worker, PROPOSE, *lease(planning), json.dumps([{**CHILD, "task_type": bad}]))
    many = [{**CHILD, "key": str(n)} for n in range(26)]
    await refused(worker, PROPOSE, *lease(planning), json.dumps(many))
    child = await worker.fetchval(PROPOSE, *lease(planning), json.dumps([CHILD]))
    row = await scene.operator.fetchrow("SELECT * FROM governance_tasks WHERE id = $1", child)
    assert row is not None
    assert (row["risk_level"], row["depth"], row["budget_usd"]) == ("medium", 1, None)
    assert row["created_by"] == scene.worker.name
    await refused(worker, "INSERT INTO governance_tasks (title, task_type) VALUES ('t', 'code')")


async def test_children_have_no_more_power(scene: Scene) -> None:
    """Types, risk, money, number and depth."""
    await check(scene)


@pytest.mark.parametrize("mutant", MUTANTS["p3"], ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one guard taken out the check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await check(scene)
