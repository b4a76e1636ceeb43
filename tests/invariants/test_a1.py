"""A1: the risk is the highest of declaration, type floor and plan; nothing lowers it.

Exhaustive: 4 declared x every task type; 4 x 4 changes; 4 declared x 4 planned at the gate.
"""

from __future__ import annotations

import itertools

import pytest

from juggernaut.domain.digest import digest_of
from juggernaut.domain.model import Risk, highest, risk_rank
from tests.invariants.asking import PASS
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_ap import MUTANTS
from tests.invariants.scene import Scene

FLOORS = {"code": Risk.MEDIUM, "command": Risk.MEDIUM}


async def check(scene: Scene) -> None:
    """Insert, change and plan every combination."""
    types = await scene.operator.fetch("SELECT task_type FROM juggernaut.task_types")
    names = [row["task_type"] for row in types]
    for declared, task_type in itertools.product(Risk, names):
        task = await scene.swarm.add(
            risk_level=declared.value, task_type=task_type, description="this is low risk"
        )
        want = highest([declared, FLOORS.get(task_type, Risk.LOW)])
        for later in ("low", declared.value):
            await scene.operator.execute(
                "UPDATE governance_tasks SET risk_level = $2 WHERE id = $1", task, later
            )
            found = await scene.operator.fetchval(
                "SELECT risk_level FROM governance_tasks WHERE id = $1", task
            )
            assert found == want, f"{task_type} declared {declared} is {found}"
    await scene.operator.execute("SELECT pause_swarm('type:code')")
    await scene.operator.execute("UPDATE governance_tasks SET run_after = '9999-12-31'")
    for declared, planned in itertools.product(Risk, Risk):
        claim = await scene.claimed(risk_level=declared.value, priority="critical")
        body = {"n": f"{declared}{planned}"}
        lease = claim.lease
        go = await scene.swarm.pool.fetchval(
            PASS,
            *(lease.task_id, lease.fence, lease.secret, "plan", digest_of(body)),
            '{"n": 1}',
            planned.value,
        )
        want = highest([declared, planned, Risk.MEDIUM])
        found = await scene.operator.fetchval(
            "SELECT risk_level FROM governance_tasks WHERE id = $1", claim.task.id
        )
        assert found == want, f"declared {declared}, planned {planned}: {found}"
        assert go is (risk_rank(want) < risk_rank(Risk.HIGH))
        await scene.operator.execute("SELECT cancel_task($1)", claim.task.id)


async def test_nothing_lowers_the_risk(scene: Scene) -> None:
    """Every combination has the highest of its parts."""
    await check(scene)


@pytest.mark.parametrize("mutant", MUTANTS["a1"], ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one guard taken out the check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await check(scene)
