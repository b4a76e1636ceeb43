"""Who keeps running work from its end is named; nobody is for what others do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.fixtures_postgres import Database, Login
from tests.governance.test_holders import RESERVE, SWEEP, THRESHOLD, alerts, swept
from tests.invariants.scene import Connection, Scene, open_scene

EFFECT = "SELECT juggernaut.effect_lock_v1($1, $2, $3)"
HOLDS = "SELECT count(*) FROM juggernaut.holds"
KEEP = "BEGIN; SELECT 1 FROM governance_tasks WHERE status = 'in_progress' FOR "
READY = "SELECT 1 FROM governance_tasks WHERE ready FOR UPDATE"
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database()
"""
SEEN = """
CREATE OR REPLACE FUNCTION juggernaut.seal_audit() RETURNS integer LANGUAGE sql AS $$
  SELECT (SELECT count(*) FROM juggernaut.model_calls WHERE state = 'reserved')::integer
       + 10 * (SELECT count(*) FROM public.governance_tasks WHERE status = 'in_progress')::integer
$$
"""


@pytest.fixture
async def scene(database: Database, worker_login: Login) -> AsyncIterator[Scene]:
    """A database where the first hold of a transaction of any age ends it."""
    async with open_scene(database, worker_login) as made:
        # The template may be older than `duty_late_seconds`.
        await made.operator.execute("UPDATE juggernaut.duties SET done_at = clock_timestamp()")
        await made.operator.execute(THRESHOLD, "hold_seconds", 0)
        await made.operator.execute(THRESHOLD, "hold_times", 1)
        yield made


async def effect_lock(scene: Scene, name: str = "w1") -> tuple[Connection, tuple[object, ...]]:
    """An honest transaction that records an effect, and what proves its lease."""
    lease = (await scene.claimed(name)).lease
    hand = await scene.database.connect(scene.worker)
    await hand.execute("BEGIN")
    proof = (lease.task_id, lease.fence, lease.secret)
    assert await hand.fetchval(EFFECT, *proof)
    return hand, proof


async def waiting(scene: Scene, many: int) -> None:
    """Return when so many wait for a lock."""
    for _ in range(200):
        if await scene.operator.fetchval(WAITING) >= many:
            return
        await asyncio.sleep(0.02)
    raise AssertionError


@pytest.mark.parametrize("lock", ["UPDATE", "SHARE"])
async def test_who_keeps_running_work_is_ended(scene: Scene, lock: str) -> None:
    """Also with another one between it and those who wait; beside it an effect lock is nothing."""
    honest, proof = await effect_lock(scene)
    other = (await scene.claimed("w2")).lease
    third = await scene.database.connect(scene.worker)
    between, hostile, worker = [
        await scene.database.connect(login) for login in (scene.rival, scene.rival, scene.worker)
    ]
    ending: tuple[object, ...] = (other.task_id, other.fence, other.secret)
    if lock == "SHARE":  # beside the effect lock itself
        ending = proof
    await hostile.execute(f"{KEEP} {lock} SKIP LOCKED")
    behind = asyncio.create_task(
        between.execute("SELECT 1 FROM governance_tasks WHERE id = $1 FOR UPDATE", ending[0])
    )
    await waiting(scene, 1)
    await scene.operator.execute(THRESHOLD, "hold_times", 100)
    await swept(third)
    assert await scene.operator.fetchval(HOLDS) == 0  # nobody's work waits yet
    call = asyncio.create_task(worker.fetchval(RESERVE, *ending))
    await waiting(scene, 2)
    await scene.operator.execute(THRESHOLD, "hold_times", 1)
    await swept(third)
    assert await alerts(scene, "transactions_held") == [scene.rival.name]
    assert await scene.operator.fetchval("SELECT DISTINCT login FROM juggernaut.holds") == (
        scene.rival.name
    )
    assert await honest.fetchval(EFFECT, *proof)
    await honest.execute("ROLLBACK")
    assert await call is not None
    await asyncio.gather(behind, return_exceptions=True)


async def test_who_waits_while_it_hides_tasks_is_ended(scene: Scene) -> None:
    """Behind an effect lock, so that nobody else could be named."""
    honest, proof = await effect_lock(scene)
    await scene.swarm.add()
    hostile, watchdog = [await scene.database.connect(x) for x in (scene.rival, scene.worker)]
    await hostile.execute(f"BEGIN; {READY}")
    behind = asyncio.create_task(hostile.execute("SELECT 1 FROM governance_tasks FOR UPDATE"))
    await waiting(scene, 1)
    await swept(watchdog)
    assert await alerts(scene, "transactions_held") == [scene.rival.name]
    assert await honest.fetchval(EFFECT, *proof)
    await asyncio.gather(behind, return_exceptions=True)


async def test_behind_a_savepoint_nobody_else_is_named(scene: Scene) -> None:
    """An older effect lock has none; before PostgreSQL 16 nobody is named while two could be it."""
    honest, _ = await effect_lock(scene)
    await scene.swarm.add()
    hostile, watchdog = [await scene.database.connect(x) for x in (scene.rival, scene.worker)]
    await asyncio.sleep(0.3)
    await scene.operator.execute(THRESHOLD, "hold_seconds", 0.25)
    await hostile.execute(f"BEGIN; SAVEPOINT s; {READY}; RELEASE s")
    await swept(watchdog)  # the hostile one is too young
    assert await scene.operator.fetchval(HOLDS) == 0
    await scene.operator.execute(THRESHOLD, "hold_seconds", 0)
    if await scene.operator.fetchval("SELECT current_setting('server_version_num')::int") < 160000:
        await swept(watchdog)
        assert await scene.operator.fetchval(HOLDS) == 0
        await honest.execute("COMMIT")
    await swept(watchdog)
    assert await alerts(scene, "transactions_held") == [scene.rival.name]


async def test_a_sweep_seals_before_it_locks(scene: Scene) -> None:
    """Sealing may last for seconds: no purse and no task is locked then, so nobody waits for it."""
    lease = (await scene.claimed()).lease
    hand = await scene.database.connect(scene.worker)
    assert await hand.fetchval(RESERVE, lease.task_id, lease.fence, lease.secret)
    await scene.expire()
    await scene.operator.execute(SEEN)
    await scene.operator.execute(THRESHOLD, "write_off_seconds", 0)
    found = json.loads(await scene.operator.fetchval(SWEEP))
    assert (found["sealed"], found["expired"], found["written_off"]) == (11, 1, 1)
