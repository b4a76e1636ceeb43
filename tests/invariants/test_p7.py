"""P7: the printed statements run (tests/store); their hostile twins do not."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.invariants.asking import PLAIN, raw_asked, refused, status
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_ap import MUTANTS
from tests.invariants.scene import Connection, Scene

CLAIM = "UPDATE governance_tasks SET status = 'in_progress', assigned_worker = $2 WHERE id = $1"
END = (
    "UPDATE governance_tasks SET status = 'completed', completed_at = NOW(),"
    " completion_evidence = $2 WHERE id = $1"
)
FACTS = "pytest -q ran at the head of main: 12 passed, 0 failed in 3.1 s"
FILLER = (
    "Done",
    "Fixed it",
    "12 passed " * 40,
    "x" * 400,
    "ok " * 200,
    "passed 1 pass pass pass" * 9,
)
TWINS = (
    "UPDATE governance_tasks SET requires_approval = false WHERE id = $1",
    "UPDATE governance_tasks SET status = 'pending', requires_approval = false WHERE id = $1",
    "UPDATE governance_tasks SET assigned_worker = 'theirs' WHERE id = $1",
    "UPDATE governance_tasks SET risk_level = 'low' WHERE id = $1",
    "UPDATE governance_tasks SET max_attempts = 20, timeout_seconds = 86400 WHERE id = $1",
)


async def check(scene: Scene) -> None:
    """Ask, approve, claim, and then everything that a printed statement must not do."""
    mine = await scene.database.connect(scene.worker)
    theirs = await scene.database.connect(scene.rival)
    task = await raw_asked(scene, mine)
    await scene.raw_worker(theirs, "theirs")
    await refused(mine, CLAIM, task, "raw")
    await refused(mine, PLAIN, task)
    unasked = await scene.swarm.add(risk_level="critical", task_type="test")
    await refused(mine, CLAIM, unasked, "raw")
    approver = await scene.database.connect(scene.approver)
    await approver.execute(PLAIN, task)
    await refused(theirs, CLAIM, task, "raw")
    await mine.execute(CLAIM, task, "raw")
    for statement in TWINS:
        await refused(mine, statement, task)
    await refused(theirs, END, task, FACTS)
    for said in FILLER:
        await refused(mine, END, task, said)
    await check_other_types(scene, mine)
    await mine.execute(END, task, FACTS)
    assert await status(scene, task) == "completed"
    await refused(mine, END, task, FACTS + " and again")
    assert await scene.violations() == []


async def check_other_types(scene: Scene, mine: Connection) -> None:
    """A type whose result is rows is not completed by words."""
    await scene.operator.execute(
        "SELECT grant_capability('executor', t) FROM unnest('{report,planning,strategy}'::text[]) t"
    )
    for kind in ("report", "planning", "strategy", "command"):
        task: UUID = await scene.swarm.add(task_type=kind)
        await mine.execute(CLAIM, task, "raw")
        await refused(
            mine, END, task, "It went well, and all of it was written down as it should be"
        )


async def test_hostile_twins_of_the_printed_statements(scene: Scene) -> None:
    """Claims, ends and words."""
    await check(scene)


@pytest.mark.parametrize("mutant", MUTANTS["p7"], ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one guard taken out the check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await check(scene)
