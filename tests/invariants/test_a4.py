"""A4: who proposed, changed or asked never approves; critical needs two different people."""

from __future__ import annotations

import asyncpg
import pytest

from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.adapters.postgres.store import PgStore
from juggernaut.domain.model import Gate, Risk
from tests.invariants.asking import BODY, PLAIN, ask, plan_of, refused, second, status
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_ap import MUTANTS
from tests.invariants.scene import Scene
from tests.store.swarm import Swarm

APPROVE = "SELECT approve_task($1)"


async def check(scene: Scene) -> None:
    """The proposer, the editor, one person twice, and a login that runs the workers."""
    approver = await scene.database.connect(scene.approver)
    task = await approver.fetchval(
        "INSERT INTO governance_tasks (title, task_type, risk_level)"
        " VALUES ('mine', 'command', 'high') RETURNING id"
    )
    claim = await scene.swarm.claim_one(await scene.swarm.worker())
    await scene.swarm.store.pass_gate(claim.lease, Gate.PLAN, plan_of(BODY))
    await refused(approver, PLAIN, task)
    await refused(approver, APPROVE, task)
    async with second(scene) as other:
        await other.execute(APPROVE, task)
    assert await status(scene, task) == "pending"
    await scene.operator.execute("SELECT cancel_task($1)", task)
    await check_editor(scene)
    task = await ask(scene, Risk.CRITICAL)
    for statement in (PLAIN, APPROVE, PLAIN):
        await approver.execute(statement, task)
        assert await status(scene, task) == "waiting_approval", "one person was two"
    async with second(scene) as other:
        await other.execute(PLAIN, task)
        assert await status(scene, task) == "pending"
        await refused(other, APPROVE, task)
        await refused(other, PLAIN, task)
    assert await scene.violations() == []


async def check_editor(scene: Scene) -> None:
    """Who changes the text is a proposer from then on."""
    approver = await scene.database.connect(scene.approver)
    task = await ask(scene)
    await approver.execute(
        'UPDATE governance_tasks SET payload = \'{"command": ["rm"]}\' WHERE id = $1', task
    )
    claim = await scene.swarm.claim_one(await scene.swarm.worker("w2"))
    await scene.swarm.store.pass_gate(claim.lease, Gate.PLAN, plan_of({"rm": 1}))
    await refused(approver, APPROVE, task)
    await scene.operator.execute("SELECT cancel_task($1)", task)


async def check_shared(scene: Scene) -> None:
    """The login that runs the workers decides on critical only when the operator opts in."""
    async with open_pool(scene.database.url, size=2, role="juggernaut_worker") as pool:
        shared = Swarm(PgStore(pool), scene.operator, pool)
        async with second(scene) as person:
            task = await person.fetchval(
                "INSERT INTO governance_tasks (title, task_type, risk_level)"
                " VALUES ('t', 'command', 'critical') RETURNING id"
            )
        claim = await shared.claim_one(await shared.worker("shared"))
        await shared.store.pass_gate(claim.lease, Gate.PLAN, plan_of(BODY, Risk.CRITICAL))
        await refused(scene.operator, APPROVE, task)
        with pytest.raises(asyncpg.PostgresError, match="SHARED LOGIN"):
            await scene.operator.execute(APPROVE, task)
        await scene.operator.execute(
            "UPDATE juggernaut.thresholds SET value = 1 WHERE name = 'shared_login_critical'"
        )
        await scene.operator.execute(APPROVE, task)
        have = await scene.operator.fetchval("SELECT count(*) FROM juggernaut.decisions")
        assert have == 1


async def test_proposers_never_approve(scene: Scene) -> None:
    """By plain UPDATE and by function."""
    await check(scene)


async def test_a_shared_login_leaves_critical_tasks_parked(scene: Scene) -> None:
    """Unless the operator opts in."""
    await check_shared(scene)


@pytest.mark.parametrize("mutant", MUTANTS["a4"], ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one guard taken out the check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await check(scene)
        await check_shared(scene)
