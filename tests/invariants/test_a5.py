"""A5: an approval dies with its content, its risk and its age; waiting never makes a permission."""

from __future__ import annotations

import pytest

from juggernaut.domain.digest import canonical, digest_of
from juggernaut.domain.model import Gate, Risk
from tests.invariants.asking import (
    BODY,
    PLAIN,
    approved,
    ask,
    gate,
    plan_of,
    raw_asked,
    refused,
    second,
    status,
)
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_ap import MUTANTS
from tests.invariants.scene import Scene

LATE = "clock_timestamp() - interval '3 days'"
RIGHT = canonical(BODY).decode()
CLAIM = "UPDATE governance_tasks SET status = 'in_progress', assigned_worker = 'raw' WHERE id = $1"


async def check(scene: Scene) -> None:
    """Age, risk and the decisions of an earlier asking."""
    claim = await approved(scene)
    worker = await scene.database.connect(scene.worker)
    approver = await scene.database.connect(scene.approver)
    assert await gate(worker, claim, RIGHT, digest_of(BODY))
    assert not await gate(worker, claim, RIGHT, digest_of(BODY), "plan", "critical"), "risk went up"
    await scene.operator.execute(f"UPDATE approvals SET decided_at = {LATE}")
    assert not await gate(worker, claim, RIGHT, digest_of(BODY)), "it lasts for ever"
    await scene.operator.execute("SELECT cancel_task($1)", claim.task.id)
    await check_rounds(scene)
    task = await ask(scene)
    await scene.operator.execute(
        f"UPDATE approvals SET requested_at = {LATE} WHERE status = 'pending'"
    )
    await scene.swarm.store.sweep()
    await scene.swarm.store.detect()
    assert await status(scene, task) == "waiting_approval"
    kinds = await scene.operator.fetch("SELECT kind FROM open_alerts")
    assert "approval_waits" in {row["kind"] for row in kinds}
    await approver.execute(PLAIN, task)
    assert await status(scene, task) == "pending"


async def check_rounds(scene: Scene) -> None:
    """What was said of a plan that was withdrawn does not count when it comes back."""
    approver = await scene.database.connect(scene.approver)
    task = await ask(scene, Risk.CRITICAL)
    await approver.execute(PLAIN, task)
    await scene.operator.execute("UPDATE governance_tasks SET title = 'x' WHERE id = $1", task)
    claim = await scene.swarm.claim_one(await scene.swarm.worker("w2"))
    plan = plan_of(BODY, Risk.CRITICAL)
    decision = await scene.swarm.store.pass_gate(claim.lease, Gate.PLAN, plan)
    assert decision is not None
    assert not decision.go
    async with second(scene) as other:
        await other.execute(PLAIN, task)
    assert await status(scene, task) == "waiting_approval", "an old decision counted"
    await check_view(scene)
    await scene.operator.execute("SELECT cancel_task($1)", task)


async def check_view(scene: Scene) -> None:
    """An approval that one of two gave now, and one in an earlier round, breaks the law."""
    assert await scene.violations() == []
    transaction = scene.operator.transaction()
    await transaction.start()
    await scene.operator.execute(
        "UPDATE approvals SET status = 'approved', decided_at = now() WHERE status = 'pending'"
    )
    found = [(row[0], row[2]) for row in await scene.violations()]
    await transaction.rollback()
    assert ("approved by fewer people than needed", "plan: 1 of 2") in found


async def check_raw(scene: Scene) -> None:
    """A plain-SQL claim reads age and risk at the moment of the claim."""
    worker = await scene.database.connect(scene.worker)
    task = await raw_asked(scene, worker)
    approver = await scene.database.connect(scene.approver)
    await approver.execute("SELECT approve_task($1)", task)
    for change, back in (
        (f"UPDATE approvals SET decided_at = {LATE}", "UPDATE approvals SET decided_at = now()"),
        ("UPDATE governance_tasks SET risk_level = 'critical'", "SELECT 1"),
    ):
        await scene.operator.execute(change)
        await refused(worker, CLAIM, task)
        await scene.operator.execute(back)


async def check_the_end(scene: Scene) -> None:
    """A worker that never came to the gate completes nothing risky."""
    claim = await scene.claimed(risk_level="high")
    facts = '{"command": ["true"], "exit_code": 0, "output_digest": "%s"}' % ("a" * 64)
    worker = await scene.database.connect(scene.worker)
    await refused(
        worker,
        "SELECT juggernaut.complete_v1($1, $2, $3, 'command', $4::text::jsonb, '[]', 's',"
        " NULL, NULL)",
        *(claim.lease.task_id, claim.lease.fence, claim.lease.secret, facts),
    )


async def test_approvals_die(scene: Scene) -> None:
    """With age, risk and content; and they escalate."""
    await check(scene)


async def test_raw_claims_look_again(scene: Scene) -> None:
    """Age and risk at the claim."""
    await check_raw(scene)


async def test_nothing_risky_is_completed_without_the_gate(scene: Scene) -> None:
    """The last line."""
    await check_the_end(scene)


@pytest.mark.parametrize("mutant", MUTANTS["a5"], ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one guard taken out the check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await (check_raw(scene) if mutant.name.startswith("raw") else check_the_end(scene))
        await check(scene)
