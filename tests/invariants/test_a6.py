"""A6: cancel and reject win over claims.

60 (full: 2,000) races of claim and cancel; every pair of decisions has one end.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg
import pytest

from tests.invariants.asking import PLAIN, ask, refused, second, status
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_ap import MUTANTS
from tests.invariants.scene import Connection, Scene
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials
from tests.store.swarm import command_completion

pytestmark = pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)


async def tried(connection: Connection, statement: str, task: UUID) -> bool:
    """Run a statement; says whether it was accepted."""
    try:
        await connection.execute(statement, task)
    except asyncpg.PostgresError:
        return False
    return True


async def check_cancel(scene: Scene, rounds: int) -> None:
    """Claim and cancel at once: the task ends cancelled, and the claim, if any, holds nothing."""
    approver = await scene.database.connect(scene.approver)
    sessions = [await scene.swarm.worker(f"c{n}") for n in range(2)]
    for number in range(rounds):
        task = await scene.swarm.add()
        early = await scene.swarm.store.claim(sessions[0], 1) if number % 2 else ()
        cancel = tried(approver, "SELECT cancel_task($1, 'no')", task)
        late, cancelled = await asyncio.gather(scene.swarm.store.claim(sessions[1], 1), cancel)
        assert cancelled, "cancel was refused"
        assert await status(scene, task) == "cancelled"
        for claim in (*early, *late):
            assert not await scene.swarm.store.complete(claim.lease, command_completion())
        assert await status(scene, task) == "cancelled"


async def check_decisions(scene: Scene, rounds: int) -> None:
    """Approve and reject at once, by two people, over plain SQL: one end, and it is the row's."""
    reject = "UPDATE governance_tasks SET status = 'rejected', error_message = 'no' WHERE id = $1"
    approver = await scene.database.connect(scene.approver)
    async with second(scene) as other:
        for number in range(rounds):
            task = await ask(scene)
            how = ("SELECT approve_task($1)", PLAIN)[number % 2]
            yes, no = await asyncio.gather(tried(approver, how, task), tried(other, reject, task))
            assert yes or no, "both were refused"
            assert no is (await status(scene, task) == "rejected")
            await tried(scene.operator, "SELECT cancel_task($1)", task)
            open_ones = await scene.operator.fetchval(
                "SELECT count(*) FROM approvals WHERE status = 'pending'"
            )
            assert open_ones == 0
        task = await ask(scene)
        assert await tried(other, reject, task), "a rejection was refused"


async def test_cancel_wins(scene: Scene) -> None:
    """30 against a waiting task, 30 against a held one."""
    await check_cancel(scene, trials(60, 2_000))


async def test_two_decisions_have_one_end(scene: Scene) -> None:
    """20 (full: 500) races of approve and reject."""
    await check_decisions(scene, trials(20, 500))


async def test_one_of_two_replicas_takes_an_approved_task(scene: Scene) -> None:
    """Both poll; one claims, once; the second approval of it is refused."""
    task = await ask(scene)
    approver = await scene.database.connect(scene.approver)
    sessions = [await scene.swarm.worker(f"r{n}") for n in range(2)]
    await approver.execute(PLAIN, task)
    await refused(approver, PLAIN, task)
    await refused(approver, "SELECT approve_task($1)", task)
    found = await asyncio.gather(*(scene.swarm.store.claim(s, 1) for s in sessions))
    assert sorted(len(part) for part in found) == [0, 1]


@pytest.mark.parametrize("mutant", MUTANTS["a6"], ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one guard taken out the check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await check_cancel(scene, 4)
        await check_decisions(scene, 8)
