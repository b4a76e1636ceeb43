"""Idle pick-up and enqueue, each beside the least that one could do."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Callable
from typing import Final, LiteralString
from uuid import UUID

import asyncpg

from benchmarks.drain import FACTS, POLL_SECONDS, SLOTS
from benchmarks.load import COMMON
from benchmarks.scratch import Scratch, connected
from juggernaut.adapters.clock import SystemClock
from juggernaut.adapters.postgres.listen import Listener
from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.adapters.postgres.store import PgStore
from juggernaut.domain.model import Claim, Completion, Evidence, WorkerId
from juggernaut.runtime.heartbeat import Progress
from juggernaut.runtime.loop import ClaimLoop

Pause = tuple[float, float]  # seconds between a pick-up and the next task, drawn evenly
SETTLE_SECONDS: Final = 0.3
WAIT_SECONDS: Final = 10.0
ADD: LiteralString = (
    "INSERT INTO governance_tasks (id, title, task_type) VALUES ($1, 't', 'command')"
)
OURS_PLAIN: LiteralString = (
    "INSERT INTO governance_tasks (title, task_type) VALUES ('t', 'command')"
)
BULK: LiteralString = (
    "INSERT INTO governance_tasks (title, task_type) SELECT 't', 'command'"
    " FROM generate_series(1, $1::int)"
)
BARE_TABLE: LiteralString = """
CREATE TABLE IF NOT EXISTS bare_jobs (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), title text, task_type text, state integer DEFAULT 0
);
CREATE INDEX IF NOT EXISTS bare_ready ON bare_jobs (id) WHERE state = 0
"""
BARE_ADD: LiteralString = (
    "WITH a AS (INSERT INTO bare_jobs (id, title, task_type) VALUES ($1, 't', 'command'))"
    " SELECT pg_notify('bare', '')"
)
BARE_PLAIN: LiteralString = "INSERT INTO bare_jobs (title, task_type) VALUES ('t', 'command')"
SAME_SHAPE: LiteralString = """
CREATE TABLE IF NOT EXISTS same_shape
  (LIKE public.governance_tasks INCLUDING DEFAULTS INCLUDING INDEXES)
"""
SAME_PLAIN: LiteralString = "INSERT INTO same_shape (title, task_type) VALUES ('t', 'command')"
BARE_BULK: LiteralString = """
INSERT INTO bare_jobs (title, task_type) SELECT 't', 'command' FROM generate_series(1, $1::int)
"""
BARE_CLAIM: LiteralString = (
    "UPDATE bare_jobs SET state = 1 WHERE id = ANY (ARRAY(SELECT id FROM bare_jobs"
    " WHERE state = 0 ORDER BY id LIMIT 10 FOR UPDATE SKIP LOCKED)) RETURNING id"
)
LAWFUL_CLAIM: LiteralString = (
    "SELECT (task ->> 'id')::uuid AS id FROM juggernaut.claim_v1($1, $2, $3)"
)
CLIENTS: Final = 10
BULK_ROWS: Final = 10_000


class Stopwatch:
    """When each task was put in, and when somebody had it."""

    def __init__(self) -> None:
        """Start empty."""
        self.sent: dict[UUID, float] = {}
        self.waits: list[float] = []
        self.seen = asyncio.Event()

    def got(self, task: UUID) -> None:
        """Note that a worker has a task."""
        self.waits.append((time.perf_counter() - self.sent[task]) * 1000)
        self.seen.set()

    async def feed(
        self, admin: asyncpg.Connection[asyncpg.Record], add: str, jobs: int, pause: Pause
    ) -> None:
        """Put tasks in, one at a time, each when the one before was picked up."""
        for _ in range(jobs):
            task = UUID(int=random.getrandbits(128), version=4)  # noqa: S311 - a name, no secret
            self.seen.clear()
            prepared = await admin.prepare(add)
            self.sent[task] = time.perf_counter()
            await prepared.fetch(task)
            self.sent[task] = time.perf_counter() if not self.seen.is_set() else self.sent[task]
            await asyncio.wait_for(self.seen.wait(), WAIT_SECONDS)
            await asyncio.sleep(random.uniform(*pause))  # noqa: S311 - pacing


def quantiles(waits: list[float]) -> tuple[float, float]:
    """Give p50 and p99 of waits from commit to pick-up, in their unit."""
    parts = statistics.quantiles(waits, n=100)
    return parts[49], parts[98]


async def ours_idle(scratch: Scratch, database: str, jobs: int, pause: Pause) -> list[float]:
    """Measure an idle worker of ours (listener, claim loop, real store): milliseconds of waits."""
    watch, stopping, wake = Stopwatch(), asyncio.Event(), asyncio.Event()
    async with open_pool(scratch.worker_url(database), size=4) as pool:
        store = PgStore(pool)
        session = await store.open_session(WorkerId("bench-idle"), "common", COMMON, {})

        async def attempt(claim: Claim, hand_in: Callable[[], None]) -> str:
            """Note the pick-up and finish."""
            watch.got(claim.task.id)
            evidence = Evidence("command", FACTS["command"])
            hand_in()
            await store.complete(claim.lease, Completion(evidence, (), "nothing was to do"))
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
            slots=SLOTS,
            poll_seconds=POLL_SECONDS,
            drain_seconds=5.0,
        )
        listener = Listener(scratch.worker_url(database), lambda _: wake.set())
        running = [asyncio.create_task(loop.run()), asyncio.create_task(listener.run())]
        await asyncio.sleep(SETTLE_SECONDS)
        async with connected(scratch.url(database)) as admin:
            await watch.feed(admin, ADD, jobs, pause)
        stopping.set()
        wake.set()
        await running[0]
        running[1].cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await store.close_session(session)
    return watch.waits


async def bare_idle(scratch: Scratch, database: str, jobs: int, pause: Pause) -> list[float]:
    """Measure the least, one LISTEN connection that wakes one loop: milliseconds of waits."""
    url = scratch.url(database)
    async with connected(url) as admin:
        await admin.execute(BARE_TABLE)
    return await _bare_loop((url, url), "bare", (BARE_CLAIM,), (BARE_ADD, jobs, pause))


async def lawful_idle(scratch: Scratch, database: str, jobs: int, pause: Pause) -> list[float]:
    """Measure the bare loop with our table and our claim: milliseconds of waits.

    Nothing is completed, so there are no slots, heartbeats or polls. What our loop takes longer is
    its own; what this takes longer than the bare one is the law's.
    """
    urls = scratch.url(database), scratch.worker_url(database)
    async with open_pool(urls[1], size=1) as pool:
        store = PgStore(pool)
        session = await store.open_session(WorkerId("bench-bare"), "common", COMMON, {})
        await store.idle(session, True)
        claim = (LAWFUL_CLAIM, session.id, session.secret, SLOTS)
        waits = await _bare_loop(urls, "juggernaut_work", claim, (ADD, jobs, pause))
        await store.close_session(session)
    return waits


async def _bare_loop(
    urls: tuple[str, str], channel: str, claim: tuple[object, ...], add: tuple[str, int, Pause]
) -> list[float]:
    """Listen on one connection and claim on another, whenever somebody calls."""
    watch, wake = Stopwatch(), asyncio.Event()
    async with connected(urls[0]) as admin, connected(urls[1]) as ear:
        await ear.add_listener(channel, lambda *_: wake.set())

        async def work() -> None:
            """Claim whenever somebody calls."""
            async with connected(urls[1]) as hand:
                while True:
                    await wake.wait()
                    wake.clear()
                    for row in await hand.fetch(str(claim[0]), *claim[1:]):
                        watch.got(row["id"])

        worker = asyncio.create_task(work())
        await watch.feed(admin, *add)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    return watch.waits


async def enqueue(scratch: Scratch, database: str, seconds: float) -> dict[str, float]:
    """Give rows a second of ten clients: a minimal table, one of our columns and indexes, ours.

    `with wake-up` is beside a worker that asked for a hint and is woken; what it would claim is
    measured elsewhere.
    """
    url = scratch.url(database)
    rates: dict[str, float] = {}
    async with connected(url) as admin:
        await admin.execute(BARE_TABLE)
        await admin.execute(SAME_SHAPE)
        rates["plain single"] = await insert_rate(url, BARE_PLAIN, seconds)
        rates["our columns and indexes, no law, single"] = await insert_rate(
            url, SAME_PLAIN, seconds
        )
        rates["ours single"] = await insert_rate(url, OURS_PLAIN, seconds)
        sleeper = asyncio.create_task(_sleeper(scratch.worker_url(database)))
        await asyncio.sleep(SETTLE_SECONDS)
        rates["ours single, with wake-up"] = await insert_rate(url, OURS_PLAIN, seconds)
        sleeper.cancel()
        await asyncio.gather(sleeper, return_exceptions=True)
        for name, statement in (("plain bulk", BARE_BULK), ("ours bulk", BULK)):
            began = time.perf_counter()
            await admin.execute(statement, BULK_ROWS)
            rates[name] = BULK_ROWS / (time.perf_counter() - began)
    return rates


async def insert_rate(url: str, statement: str, seconds: float) -> float:
    """Give the rows a second that ten clients insert one by one."""
    rows = 0

    async def client() -> None:
        """Insert until the time is over."""
        nonlocal rows
        async with connected(url) as connection:
            prepared = await connection.prepare(statement)
            while time.perf_counter() < end:
                await prepared.fetch()
                rows += 1

    end = time.perf_counter() + seconds
    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return rows / (time.perf_counter() - began)


async def _sleeper(url: str) -> None:
    """Be a worker that sleeps: the request for a hint holds until its hands are full."""
    woken = asyncio.Event()
    async with open_pool(url, size=1) as pool, connected(url) as ear:
        store = PgStore(pool)
        session = await store.open_session(WorkerId("bench-sleeper"), "common", COMMON, {})
        await ear.add_listener("juggernaut_work", lambda *_: woken.set())
        await store.idle(session, True)
        while True:
            await woken.wait()
            woken.clear()
