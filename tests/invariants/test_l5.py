"""L5: whoever loses its lease loses its children too, a stubborn process group included.

The children of a real command (a shell and its own child, both deaf to SIGTERM) are gone within
5 s of the loss. Default: 2 losses. Full: 200 losses.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.invariants.trials import FULL, TRIAL_TIMEOUT_SECONDS, trials
from tests.roles.bench import Bench

LOSSES = trials(2, 200)
# 2 s until it is seen and 2 s of grace; the rest is the machine's.
GONE_SECONDS = 5.0 if FULL else 10.0
STUBBORN = (
    "trap '' TERM; sleep 120 & echo $$ $! > {place}.new && mv {place}.new {place}; wait; wait"
)
HOW = (
    "UPDATE juggernaut.sessions SET expires_at = clock_timestamp() - interval '1 s'",
    "SELECT cancel_task(id, 'not needed') FROM governance_tasks WHERE status = 'in_progress'",
)


def alive(pid: int) -> bool:
    """Say whether a process still runs; a corpse that nobody has buried does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


async def until(true: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is true; False when it took too long."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.02)
    return True


async def check_children_die(bench: Bench, folder: Path, number: int) -> None:
    """Take the lease away under a running command; nothing of it lives on."""
    place = folder / f"pids-{number}"
    argv = ["sh", "-c", STUBBORN.format(place=place)]
    task = await bench.add_task("command", payload={"command": argv}, max_attempts=1)
    bench.sessions.clear()
    found = await bench.claim("executor")
    assert found is not None
    assert found.task.id == task
    work = asyncio.create_task(bench.attempt("executor", found))
    pids: list[int] = []
    try:
        assert await until(place.exists, 10), "the command never began"
        pids = [int(word) for word in place.read_text().split()]
        assert all(alive(pid) for pid in pids)
        await bench.operator.execute(HOW[number % len(HOW)])
        gone = await until(lambda: not any(map(alive, pids)), GONE_SECONDS)
        assert gone, f"loss {number}: {[pid for pid in pids if alive(pid)]} outlived the lease"
        assert await work == "lost"
    finally:
        work.cancel()
        await asyncio.wait({work})
        for pid in filter(alive, pids):
            os.kill(pid, 9)
    facts = await bench.rows("SELECT * FROM juggernaut.evidence WHERE task_id = $1", task)
    assert facts == [], json.dumps([str(row) for row in facts])
    await bench.operator.execute(
        "SELECT cancel_task(id, 'over') FROM governance_tasks WHERE status = 'in_progress'"
    )


@pytest.mark.slow
@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
async def test_the_children_of_a_lost_lease_die(bench: Bench, tmp_path: Path) -> None:
    """Expired and cancelled in turn; with the waits of the product, none shortened."""
    for number in range(LOSSES):
        await check_children_die(bench, tmp_path, number)
