"""P3: who creates tasks creates no power: no lower floor, no purse, no depth, no other creators."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from juggernaut.domain.errors import LawRefused
from juggernaut.domain.model import Claim, Risk
from tests.invariants.asking import refused
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_ap import MUTANTS
from tests.invariants.scene import Scene
from tests.store.swarm import GATE, command_completion, plan

PROPOSE = "SELECT juggernaut.propose_tasks_v1($1, $2, $3, $4::text::jsonb)"
RAW_CLAIM = (
    "UPDATE governance_tasks SET status = 'in_progress', assigned_worker = 'raw' WHERE id = $1"
)
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


async def tainted_children(scene: Scene) -> dict[str, UUID]:
    """Plan a goal whose text came from outside; gives a child of each risk."""
    await scene.operator.execute("SELECT add_goal('do as I say', trusted => false)")
    worker = await scene.database.connect(scene.worker)
    planning = await scene.swarm.claim_one(await scene.swarm.worker("o", "orchestrator"))
    tasks = [
        {**CHILD, "key": kind, "title": kind, "task_type": kind, "tainted": False}
        for kind in ("test", "command")
    ]
    await worker.fetch(PROPOSE, *lease(planning), json.dumps(tasks))
    rows = await scene.operator.fetch(
        "SELECT id, task_type, tainted FROM governance_tasks WHERE goal_id IS NOT NULL"
    )
    assert all(row["tainted"] for row in rows), "a task of a tainted goal is clean"
    return {row["task_type"]: row["id"] for row in rows}


async def check_taint(scene: Scene) -> None:
    """Low goes, medium waits for one person, and no road leads past the gate."""
    tasks = await tainted_children(scene)
    worker = await scene.database.connect(scene.worker)
    session = await scene.swarm.worker("w", "executor")
    claims: dict[UUID, Claim] = {
        claim.task.id: claim for claim in await scene.swarm.store.claim(session, 5)
    }
    low, medium = claims[tasks["test"]], claims[tasks["command"]]
    decision = await scene.swarm.store.pass_gate(low.lease, GATE, plan(risk=Risk.LOW))
    assert decision is not None
    assert decision.go, "low work needs nobody"
    with pytest.raises(LawRefused):
        await scene.swarm.store.complete(medium.lease, command_completion())
    assert await scene.swarm.store.intend(medium.lease, "push", "k", {})
    with pytest.raises(LawRefused):
        await scene.swarm.store.intend(medium.lease, "merge", "k", {"expected": "0" * 40})
    assert await scene.swarm.store.release(medium.lease, "again")
    await scene.raw_worker(worker, "raw")
    await refused(worker, RAW_CLAIM, tasks["command"])
    medium = await scene.swarm.claim_one(session)
    decision = await scene.swarm.store.pass_gate(medium.lease, GATE, plan(risk=Risk.LOW))
    assert decision is not None
    assert not decision.go, "what a stranger wrote went without a person"
    assert "from outside" in decision.reason
    approver = await scene.database.connect(scene.approver)
    await approver.execute("SELECT approve_task($1)", tasks["command"])
    medium = await scene.swarm.claim_one(session)
    decision = await scene.swarm.store.pass_gate(medium.lease, GATE, plan(risk=Risk.LOW))
    assert decision is not None
    assert decision.go
    assert await scene.swarm.store.complete(medium.lease, command_completion())
    assert await scene.violations() == []


async def check_taint_stays(scene: Scene) -> None:
    """Nobody washes it off: not the worker, not a person, not a restart of the goal."""
    tasks = await tainted_children(scene)
    for login in (scene.worker, scene.approver, None):
        hand = await scene.database.connect(login)
        for place in ("governance_tasks", "goals"):
            await refused(hand, f"UPDATE {place} SET tainted = false")
    approver = await scene.database.connect(scene.approver)
    add = "INSERT INTO governance_tasks (title, task_type, goal_id) VALUES ('t', 'command', $1)"
    goal = await scene.operator.fetchval("SELECT id FROM goals")
    await approver.execute(add, goal)
    assert await scene.operator.fetchval("SELECT bool_and(tainted) FROM governance_tasks")
    await scene.operator.execute("ALTER TABLE governance_tasks DISABLE TRIGGER guard_words_end")
    (claim,) = [
        item
        for item in await scene.swarm.store.claim(await scene.swarm.worker("w", "executor"), 5)
        if item.task.id == tasks["command"]
    ]
    assert await scene.swarm.store.complete(claim.lease, command_completion())
    broken = [row[0] for row in await scene.violations()]
    assert broken == ["tainted work above low completed without approval"]


async def test_a_stranger_starts_nothing_above_low(scene: Scene) -> None:
    """Tasks of a tainted goal."""
    await check_taint(scene)


async def test_taint_never_goes(scene: Scene) -> None:
    """And what it should have stopped is a violation."""
    await check_taint_stays(scene)


@pytest.mark.parametrize("mutant", MUTANTS["p3 taint"], ids=lambda mutant: mutant.name)
async def test_a_missing_taint_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one of its guards taken out a check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await check_taint(scene)
        await scene.operator.execute("SELECT cancel_goal(id) FROM goals")
        await check_taint_stays(scene)


@pytest.mark.parametrize("mutant", MUTANTS["p3"], ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one guard taken out the check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await check(scene)
