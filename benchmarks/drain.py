"""How fast our worker's loop claims and completes: the real loop, the real store.

The first jobs of a process are not counted: they open connections and make plans, as pgbench does
before it counts, and a depth of a few hundred jobs would measure nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from juggernaut.adapters.clock import SystemClock
from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.adapters.postgres.store import PgStore
from juggernaut.domain.model import Claim, Completion, Evidence, Session, WorkerId
from juggernaut.runtime.heartbeat import Progress
from juggernaut.runtime.loop import ClaimLoop

SLOTS = 10
MANY_SLOTS = 100  # agents wait for models: one process holds many
CONNECTIONS = 4
WARM_JOBS = 100
POLL_SECONDS = 5.0
SHA = "0" * 40
DIGEST = "0" * 64
FACTS: dict[str, dict[str, object]] = {
    "code": {
        **{"pull_number": 1, "pull_url": "https://example.invalid/pull/1", "head_sha": SHA},
        **{"base_sha": SHA, "merged_sha": SHA, "files": ["a"], "tests": {"passed": 1}},
    },
    "test": {"command": ["true"], "exit_code": 0, "passed": 1, "failed": 0, "sha": SHA},
    "verification": {"checks": [{"name": "a"}], "sha": SHA},
    "documentation": {"location": "docs/a.md", "merged_sha": SHA},
    "command": {"command": ["true"], "exit_code": 0, "output_digest": DIGEST},
    "strategy": {"recommendation_ids": [], "metrics_digest": DIGEST},
}


@dataclass(slots=True)
class Drained:
    """What a drain did."""

    jobs: int
    seconds: float

    @property
    def rate(self) -> float:
        """Give jobs a second."""
        return self.jobs / self.seconds


async def drain(
    url: str, kind: str, handles: tuple[str, ...], jobs: int, cap: float, slots: int = SLOTS
) -> Drained:
    """Let one warm worker process do `jobs` no-op tasks, at most for `cap` seconds."""
    async with open_pool(url, size=CONNECTIONS) as pool:
        store = PgStore(pool)
        session = await store.open_session(WorkerId(f"bench-{kind}"), kind, handles, {})
        done = await _run(store, session, jobs, cap, slots)
        await store.close_session(session)
    return done


async def _run(store: PgStore, session: Session, jobs: int, cap: float, slots: int) -> Drained:
    """Run the claim loop until enough is done."""
    stopping, wake = asyncio.Event(), asyncio.Event()
    done = Drained(-WARM_JOBS, 0.0)
    began = time.perf_counter()

    async def attempt(claim: Claim, hand_in: Callable[[], None]) -> str:
        """Do nothing, and prove it."""
        nonlocal began
        evidence = Evidence(claim.task.task_type, FACTS[claim.task.task_type])
        hand_in()
        landed = await store.complete(claim.lease, Completion(evidence, (), "nothing was to do"))
        if not landed:
            raise AssertionError(f"the completion of {claim.task.id} did not land")
        done.jobs += 1
        if done.jobs == 0:
            began = time.perf_counter()
        if done.jobs == jobs:
            done.seconds = time.perf_counter() - began
            stopping.set()
        return "completed"

    clock = SystemClock()
    loop = ClaimLoop(
        queue=store,
        session=session,
        clock=clock,
        progress=Progress(clock),
        attempt=attempt,
        stopping=stopping,
        wake=wake,
        slots=slots,
        poll_seconds=POLL_SECONDS,
        drain_seconds=5.0,
    )
    running = asyncio.create_task(loop.run())
    await asyncio.wait({running}, timeout=cap)
    counted = jobs if stopping.is_set() else max(done.jobs, 0)
    seconds = done.seconds or time.perf_counter() - began
    stopping.set()
    wake.set()
    await running
    return Drained(counted, seconds)
