"""P6: one worker cannot stall the others: locks, floods and the disk."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.invariants.asking import refused
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_ap import MUTANTS
from tests.invariants.scene import Scene
from tests.store.swarm import command_completion

HELD = "BEGIN; SELECT id FROM governance_tasks FOR UPDATE"
LOG = (
    "INSERT INTO execution_logs (worker_id, action, message)"
    " SELECT 'raw', 'x', repeat('x', $1) FROM generate_series(1, $2)"
)
DUTIES = ("sweep", "detect", "goals", "seal", "log_partitions")


async def check(scene: Scene) -> None:
    """Locks on every row, on every duty; floods; a legitimate worker goes on."""
    hostile = await scene.database.connect(scene.rival)
    await scene.raw_worker(hostile, "raw")
    for duty in DUTIES:
        for key in (f"hashtextextended('juggernaut.{duty}', 0)", "1785030503"):
            try:
                await hostile.execute(f"SELECT pg_advisory_lock({key})")
            except asyncpg.InsufficientPrivilegeError:
                continue
    swept = await scene.swarm.store.sweep()
    assert "skipped" not in swept, "a worker keeps the sweep from running"
    await refused(hostile, LOG, 1, 1_001)
    await refused(hostile, LOG, 20_000, 1)
    for n in range(200):
        await hostile.execute("SELECT pg_notify('juggernaut_work', repeat('x', $1))", 7_000 + n)
    task = await scene.swarm.add()
    await hostile.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
    await hostile.execute(HELD)
    session = await scene.swarm.worker()
    assert await scene.swarm.store.claim(session, 1) == (), "the row is locked for now"
    await scene.operator.execute(
        "UPDATE juggernaut.thresholds SET value = 0 WHERE name = 'transaction_seconds'"
    )
    await scene.swarm.store.sweep()
    for _ in range(200):
        claims = await scene.swarm.store.claim(session, 1)
        if claims:
            break
        await asyncio.sleep(0.01)
    assert claims, "the lock outlived the sweep"
    assert claims[0].task.id == task
    assert await scene.swarm.store.complete(claims[0].lease, command_completion())


async def test_nobody_stalls_the_others(scene: Scene) -> None:
    """Advisory locks, row locks, NOTIFY, logs."""
    await check(scene)


@pytest.mark.parametrize("mutant", MUTANTS["p6"], ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one guard taken out the check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await check(scene)
