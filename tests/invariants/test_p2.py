"""P2: power comes from the grants that an operator wrote; saying otherwise gives none."""

from __future__ import annotations

import pytest

from juggernaut.domain.model import WorkerId
from tests.invariants.asking import refused
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_ap import MUTANTS
from tests.invariants.scene import Scene

ALL = ("planning", "code", "command", "research", "report", "strategy", "test")
REGISTER = (
    "INSERT INTO worker_registry (worker_id, worker_type, capabilities)"
    " VALUES ($1, $2, $3::text::jsonb)"
)


async def check(scene: Scene) -> None:
    """Declared capabilities, a chosen kind, and self-made grants."""
    worker = await scene.database.connect(scene.worker)
    research = await scene.swarm.add(task_type="research")
    greedy = await scene.swarm.store.open_session(WorkerId("g"), "executor", ALL, {})
    assert await scene.swarm.store.claim(greedy, 10) == ()
    await worker.execute(REGISTER, "raw", "executor", '["research"]')
    await refused(
        worker,
        "UPDATE governance_tasks SET status = 'in_progress', assigned_worker = 'raw' WHERE id = $1",
        research,
    )
    for statement in (
        "SELECT grant_capability('executor', 'research')",
        "SELECT revoke_capability('executor', 'code')",
        "INSERT INTO juggernaut.grants (worker_type, task_type) VALUES ('executor', 'research')",
        "UPDATE worker_registry SET worker_type = 'analyst' WHERE worker_id = 'raw'",
        f"SELECT limit_login('{scene.worker.name}', '{{analyst}}')",
        "DELETE FROM juggernaut.login_types",
    ):
        await refused(worker, statement)
    await scene.operator.execute("SELECT limit_login($1, '{executor}')", scene.worker.name)
    await refused(worker, REGISTER, "wide", "analyst", "[]")
    await refused(worker, "SELECT juggernaut.open_session_v1('wide', 'orchestrator', '{}')")
    await worker.execute(REGISTER, "narrow", "executor", "[]")


async def test_registering_gives_no_power(scene: Scene) -> None:
    """Neither by a daemon's session nor by plain SQL."""
    await check(scene)


@pytest.mark.parametrize("mutant", MUTANTS["p2"], ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one guard taken out the check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await check(scene)
