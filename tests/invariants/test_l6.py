"""L6: a task gets at most max_attempts, then ends with its reason; a crasher starves nobody.

Default: 5 tasks of random ends, and 1 crasher against 12 others. Full: 500, and 50 crashers.
"""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from juggernaut.domain.limits import RETRY_BASE_SECONDS, RETRY_CAP_SECONDS
from juggernaut.domain.model import Claim, Session
from juggernaut.lifecycle.complete import retry_after
from tests.invariants.scene import LONG_AGO, PAUSE, Scene
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials
from tests.store.swarm import command_completion

RANDOM_TASKS = trials(5, 500)
CRASHERS = trials(1, 50)
OTHERS = 12


async def crash(scene: Scene, claim: Claim, how: str) -> None:
    """End an attempt badly."""
    if how == "failed":
        await scene.swarm.store.fail(claim.lease, "x", "broke", retry_after=3_600)
    else:
        await scene.expire(claim.lease)
        await scene.swarm.store.sweep()


async def check_attempts(scene: Scene, seed: int) -> None:
    """A task that always ends badly is tried exactly max_attempts times."""
    dice = random.Random(seed)
    await scene.operator.execute(PAUSE, RETRY_BASE_SECONDS)
    most = dice.randint(1, 4)
    task = await scene.swarm.add(max_attempts=most)
    for number in range(1, most + 1):
        claim = await scene.swarm.claim_one(await scene.swarm.worker())
        assert claim.task.attempts == number
        how = dice.choice(("failed", "expired"))
        await crash(scene, claim, how)
        if number < most:
            await check_pause(scene, task, number, how)
            early = await scene.swarm.store.claim(await scene.swarm.worker(), 1)
            assert early == (), f"an attempt that {how} is put off, not repeated at once"
            await scene.operator.execute(
                f"UPDATE governance_tasks SET run_after = {LONG_AGO} WHERE id = $1", task
            )
    row = await scene.operator.fetchrow("SELECT * FROM governance_tasks WHERE id = $1", task)
    assert row is not None
    assert row["status"] == "failed", f"after {most} attempts it is {row['status']}"
    assert row["attempts"] == most
    assert row["error_message"]
    alert = "SELECT count(*) FROM open_alerts WHERE details ->> 'task_id' = $1"
    assert await scene.operator.fetchval(alert, str(task)) == 1
    assert await scene.swarm.store.claim(await scene.swarm.worker(), 1) == ()


async def check_pause(scene: Scene, task: UUID, attempts: int, how: str) -> None:
    """What the sweep takes back waits as long as what failed: doubled, half of it jitter."""
    row = await scene.operator.fetchrow(
        "SELECT run_after, updated.at FROM governance_tasks,"
        " LATERAL (SELECT max(ended_at) AS at FROM juggernaut.attempts WHERE task_id = id) updated"
        " WHERE id = $1",
        task,
    )
    assert row is not None
    waits = (row["run_after"] - row["at"]).total_seconds()
    if how == "expired":
        shortest, longest = retry_after(attempts, 0.0), retry_after(attempts, 1.0)
        assert shortest <= waits <= longest + 1, f"it waits {waits} s, not {shortest} to {longest}"


async def check_nobody_starves(scene: Scene, ends_by: str) -> None:
    """A crasher that is first in the queue lets everybody else have a turn."""
    await scene.operator.execute(PAUSE, 0 if ends_by == "expired at once" else RETRY_BASE_SECONDS)
    crasher = await scene.swarm.add(title="crasher", max_attempts=3)
    others = {await scene.swarm.add(title="other") for _ in range(OTHERS)}
    session: Session = await scene.swarm.worker()
    order: list[UUID] = []
    for _ in range(OTHERS + 1):
        claim = await scene.swarm.claim_one(session)
        order.append(claim.task.id)
        if claim.task.id != crasher:
            await scene.swarm.store.complete(claim.lease, command_completion())
        elif ends_by == "released":
            await scene.swarm.store.release(claim.lease, "again")
        elif ends_by == "failed":
            await scene.swarm.store.fail(claim.lease, "x", "broke", retry_after=0)
        else:
            await scene.expire(claim.lease)
            await scene.swarm.store.sweep()
            session = await scene.swarm.worker()
    assert order.count(crasher) == 1, f"the crasher had {order.count(crasher)} turns"
    assert others <= set(order)


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
async def test_attempts_are_counted_out(scene: Scene) -> None:
    """Failed with a pause, and expired, in random order."""
    for seed in range(RANDOM_TASKS):
        await check_attempts(scene, seed)


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
@pytest.mark.parametrize("ends_by", ["failed", "released", "expired", "expired at once"])
async def test_a_crasher_waits_its_turn(scene: Scene, ends_by: str) -> None:
    """Twelve others are done between two turns of the crasher."""
    for _ in range(CRASHERS):
        await check_nobody_starves(scene, ends_by)
        await scene.operator.execute(
            "UPDATE governance_tasks SET status = 'cancelled' WHERE title = 'crasher'"
            " AND status = 'pending'"
        )


async def test_what_expired_waits_like_what_failed(scene: Scene) -> None:
    """The database's pause and the program's have the same bounds, up to the cap."""
    await scene.operator.execute(PAUSE, RETRY_BASE_SECONDS)
    cap = "SELECT value FROM juggernaut.thresholds WHERE name = 'expiry_cap_seconds'"
    assert float(await scene.operator.fetchval(cap)) == RETRY_CAP_SECONDS
    for attempts in (1, 2, 5, 20):
        rows = await scene.operator.fetch(
            "SELECT extract(epoch FROM juggernaut.pause_after($1))::float8 AS waits"
            " FROM generate_series(1, 40)",
            attempts,
        )
        waits = [row["waits"] for row in rows]
        assert retry_after(attempts, 0.0) <= min(waits)
        assert max(waits) <= retry_after(attempts, 1.0)
        assert max(waits) > min(waits), "there is no jitter"
