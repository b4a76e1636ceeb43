"""How fast our worker's loop claims and completes: the real loop, the real store."""

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
POLL_SECONDS = 5.0
SHA = "0" * 40
DIGEST = "0" * 64
FACTS: dict[str, dict[str, object]] = {
    "planning": {"task_ids": ["none"]},
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
    """Let one worker process do `jobs` no-op tasks, at most for `cap` seconds."""
    async with open_pool(url, size=CONNECTIONS) as pool:
        store = PgStore(pool)
        session = await store.open_session(WorkerId(f"bench-{kind}"), kind, handles, {})
        done = await _run(store, session, jobs, cap, slots)
        await store.close_session(session)
    return done


async def _run(store: PgStore, session: Session, jobs: int, cap: float, slots: int) -> Drained:
    """Run the claim loop until enough is done."""
    stopping, wake = asyncio.Event(), asyncio.Event()
    done = Drained(0, 0.0)

    async def attempt(claim: Claim, hand_in: Callable[[], None]) -> str:
        """Do nothing, and prove it."""
        evidence = Evidence(claim.task.task_type, FACTS[claim.task.task_type])
        hand_in()
        landed = await store.complete(claim.lease, Completion(evidence, (), "nothing was to do"))
        if not landed:
            raise AssertionError(f"the completion of {claim.task.id} did not land")
        done.jobs += 1
        if done.jobs >= jobs:
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
    began = time.perf_counter()
    running = asyncio.create_task(loop.run())
    await asyncio.wait({running}, timeout=cap)
    stopping.set()
    wake.set()
    await running
    done.seconds = time.perf_counter() - began
    return done
