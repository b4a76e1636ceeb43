"""L1: at any instant a task has at most one live lease; none lost, none done twice.

Clients (claimers), nemesis (dying sessions), history (juggernaut.attempts), checker.
Default: 16 claimers x 120 tasks x 3 seeds, and 40 forced plans. Full: 32 x 1,000 x 20, and 2,000.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from juggernaut.domain.errors import LeaseLost
from juggernaut.domain.model import Claim, Session
from tests.invariants.scene import Scene
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials
from tests.store.swarm import command_completion

CLAIMERS = trials(16, 32)
TASKS = trials(120, 1_000)
SEEDS = range(trials(3, 20))
FORCED = trials(40, 2_000)
OVERLAPS = """
    SELECT a.task_id, a.fence, b.fence FROM juggernaut.attempts a
      JOIN juggernaut.attempts b ON b.task_id = a.task_id AND b.fence > a.fence
     WHERE a.ended_at IS NULL OR a.ended_at > b.started_at
"""
TWICE = """
    SELECT task_id FROM juggernaut.attempts WHERE ended_as = 'completed'
     GROUP BY task_id HAVING count(*) > 1
"""
LOST = "SELECT id, status FROM governance_tasks WHERE status <> 'completed'"
GAPS = """
    SELECT t.id FROM governance_tasks t LEFT JOIN juggernaut.attempts a ON a.task_id = t.id
     GROUP BY t.id HAVING count(a.fence) <> t.fence OR max(a.fence) IS DISTINCT FROM t.fence
"""
STEPS = ("hashjoin", "mergejoin", "sort", "material", "incremental_sort", "bitmapscan")


@dataclass(slots=True)
class History:
    """What the clients were told."""

    claims: list[tuple[UUID, int]] = field(default_factory=list)
    done: list[tuple[UUID, int]] = field(default_factory=list)


async def end(scene: Scene, claim: Claim, dice: random.Random, history: History) -> bool:
    """End a claim in one of the ways there are; True when the session died of it."""
    lease, store = claim.lease, scene.swarm.store
    history.claims.append((lease.task_id, lease.fence))
    roll = dice.random()
    if roll < 0.05:
        await scene.expire(lease)
        return True
    if roll < 0.12:
        await store.release(lease, "a restart")
    elif roll < 0.2:
        await store.fail(lease, "x", "broke", retry_after=0)
    elif await store.complete(lease, command_completion()):
        history.done.append((lease.task_id, lease.fence))
    return False


async def claimer(scene: Scene, name: str, seed: int, history: History) -> None:
    """Claim and end until every task is completed."""
    dice = random.Random(f"{seed}-{name}")
    session: Session = await scene.swarm.worker(name)
    left = TASKS
    while left:
        try:
            claims = await scene.swarm.store.claim(session, dice.randint(1, 3))
        except LeaseLost:
            claims, session = (), await scene.swarm.worker(name)
        for claim in claims:
            if await end(scene, claim, dice, history):
                session = await scene.swarm.worker(name)
                await scene.swarm.store.sweep()
        if not claims:
            await scene.swarm.store.sweep()
            left = await scene.swarm.pool.fetchval(
                "SELECT count(*) FROM governance_tasks WHERE status IN ('pending', 'in_progress')"
            )


async def check_history(scene: Scene, seed: int) -> None:
    """Let the claimers run over all tasks, then judge the history."""
    await scene.operator.execute(
        "INSERT INTO governance_tasks (title, task_type, max_attempts)"
        " SELECT 'task ' || n, 'command', 20 FROM generate_series(1, $1::int) n",
        TASKS,
    )
    history = History()
    async with asyncio.timeout(TRIAL_TIMEOUT_SECONDS):
        await asyncio.gather(
            *(claimer(scene, f"w{n}", seed, history) for n in range(CLAIMERS)),
        )
    for name, query in (("overlap", OVERLAPS), ("twice", TWICE), ("lost", LOST), ("gaps", GAPS)):
        rows = await scene.operator.fetch(query)
        assert rows == [], f"seed {seed}: {name}: {rows[:3]}"
    assert len(set(history.claims)) == len(history.claims), "one fence was given to two clients"
    rows = await scene.operator.fetch(
        "SELECT task_id, fence FROM juggernaut.attempts WHERE ended_as = 'completed'"
    )
    assert {tuple(row) for row in rows} == set(history.done), "the clients saw another history"
    assert await scene.violations() == []


LOOKS = 500
WAITS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def check_two_at_once(scene: Scene) -> None:
    """A claim that is not committed yet is already out of everybody else's reach."""
    first = await scene.database.connect(scene.worker)
    sessions = [await scene.swarm.worker(name) for name in ("w1", "w2")]
    await scene.swarm.add()
    call = "SELECT (task ->> 'id')::uuid FROM juggernaut.claim_v1($1, $2, 1)"
    async with first.transaction():
        mine = await first.fetch(call, sessions[0].id, sessions[0].secret)
        other = asyncio.create_task(scene.swarm.store.claim(sessions[1], 1))
        for _ in range(LOOKS):
            if other.done() or await scene.operator.fetchval(WAITS):
                break
            await asyncio.sleep(0.01)
    assert len(mine) == 1
    assert await other == (), "a second claimer got the task that the first one had"


async def check_forced_plans(scene: Scene) -> None:
    """Whatever plan the server takes, a claim takes what was asked for and no more."""
    dice = random.Random(6)
    worker = await scene.database.connect(scene.worker)
    session = await scene.swarm.worker()
    await scene.operator.execute(
        "INSERT INTO governance_tasks (title, task_type)"
        " SELECT 'task ' || n, (ARRAY['command', 'code', 'planning'])[1 + n % 2]"
        " FROM generate_series(1, $1::int) n",
        FORCED * 5,
    )
    held = "SELECT count(*) FROM governance_tasks WHERE status = 'in_progress'"
    for number in range(FORCED):
        for step in STEPS:
            await worker.execute(f"SET enable_{step} = {dice.choice(('on', 'off', 'off'))}")
        await worker.execute("DISCARD PLANS")
        asked = dice.randint(1, 4)
        before = await scene.operator.fetchval(held)
        rows = await worker.fetch(
            "SELECT * FROM juggernaut.claim_v1($1, $2, $3)", session.id, session.secret, asked
        )
        taken = await scene.operator.fetchval(held) - before
        assert len(rows) == taken == asked, f"plan {number}: asked {asked}, took {taken}"


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
@pytest.mark.parametrize("seed", SEEDS)
async def test_one_live_lease_a_task(scene: Scene, seed: int) -> None:
    """No overlap, none lost, none twice, and the clients saw what the history says."""
    await check_history(scene, seed)


async def test_an_uncommitted_claim_is_skipped(scene: Scene) -> None:
    """Two claimers, one task, one of them in the middle of its transaction."""
    await check_two_at_once(scene)


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
async def test_no_plan_takes_more_than_asked(scene: Scene) -> None:
    """Joins, sorts and materialisation are switched off at random."""
    await check_forced_plans(scene)
