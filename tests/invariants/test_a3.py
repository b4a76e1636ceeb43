"""A3: the approver is the session's login, in its group; no worker comes near a decision."""

from __future__ import annotations

import pytest

from juggernaut.domain.model import Risk
from tests.invariants.asking import PLAIN, ask, refused, status
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_ap import MUTANTS
from tests.invariants.scene import Scene

FORGED = (
    "UPDATE governance_tasks SET status = 'pending' WHERE id = $1",
    "UPDATE governance_tasks SET approved_by = 'alice' WHERE id = $1",
    "SELECT approve_task($1)",
    "SELECT reject_task($1, 'no')",
    "SELECT juggernaut.decide($1, 'approved', 'me')",
    "UPDATE approvals SET status = 'approved' WHERE task_id = $1",
    "INSERT INTO juggernaut.decision_log (approval_id, asked_at, decided_by, decision)"
    " SELECT id, requested_at, 'alice', 'approved' FROM approvals WHERE task_id = $1",
    "INSERT INTO juggernaut.decisions (approval_id, decided_by, decision)"
    " SELECT id, 'alice', 'approved' FROM approvals WHERE task_id = $1",
)


async def check(scene: Scene) -> None:
    """Workers, readers and a worker that is an approver, too, decide nothing."""
    task = await ask(scene, Risk.CRITICAL)
    approver = await scene.database.connect(scene.approver)
    for login in (scene.worker, scene.rival, scene.reader):
        connection = await scene.database.connect(login)
        for statement in FORGED:
            await refused(connection, statement, task)
        for role in ("juggernaut_approver", "juggernaut_owner", scene.approver.name):
            await refused(connection, f'SET ROLE "{role}"')
            await refused(connection, f'SET SESSION AUTHORIZATION "{role}"')
    await scene.operator.execute(f'GRANT juggernaut_approver TO "{scene.rival.name}"')
    both = await scene.database.connect(scene.rival)
    for role in ("NONE", "juggernaut_approver", "juggernaut_worker"):
        await both.execute(f"SET ROLE {role}")
        await refused(both, PLAIN, task)
        await refused(both, "SELECT approve_task($1)", task)
    await approver.execute(PLAIN, task)
    await approver.execute("SET ROLE juggernaut_approver")
    await approver.execute(PLAIN, task)
    assert await status(scene, task) == "waiting_approval", "one login was two people"
    await approver.execute("RESET ROLE")
    row = await scene.operator.fetchrow("SELECT approved_by FROM governance_tasks")
    assert row is not None
    assert row["approved_by"] is None, "a half decision looks like a whole one"
    other = await scene.swarm.add()
    await refused(
        approver, "UPDATE governance_tasks SET approved_by = 'alice' WHERE id = $1", other
    )


async def test_only_approvers_decide(scene: Scene) -> None:
    """By login, whatever role it takes on."""
    await check(scene)


@pytest.mark.parametrize("mutant", MUTANTS["a3"], ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one guard taken out the check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await check(scene)
