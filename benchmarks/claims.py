"""What the law costs, and whether claims stay fast: `python -m benchmarks.claims [--quick]`.

One run, one durable PostgreSQL of its own on loopback, default settings. Absolute figures say
little on a shared machine; the ratios in one run do. The order is: L and our worker's loop,
interleaved; depth; history; blocked rows; pick-up; enqueue; guards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from statistics import median
from typing import Final

import structlog

from benchmarks import latency, load
from benchmarks.drain import MANY_SLOTS, SLOTS, WARM_JOBS, drain
from benchmarks.guards import GUARDS, inserts
from benchmarks.limit import measure_limit
from benchmarks.lines import Line, row
from benchmarks.plans import poll_buffers
from benchmarks.scratch import Scratch, connected, scratch_server
from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.adapters.postgres.store import PgStore
from juggernaut.domain.model import WorkerId

RUN_SECONDS: Final = 1_500.0
DRAIN_SECONDS: Final = 6.0
DEPTH_JOBS: Final = 300
DEPTH_ROUNDS: Final = 9


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int
    jobs: int
    depths: tuple[int, ...]
    history: int
    blocked: int
    seconds: int
    pickups: tuple[int, ...]


# How far apart tasks come to an idle worker: asleep for long, or hardly done with the one before.
PACES: Final[dict[str, latency.Pause]] = {
    "100 ms apart": (0.05, 0.15),
    "8 ms apart": (0.004, 0.012),
}
# The least, the least with our claim and table, and our worker.
LOOPS: Final[dict[str, Callable[[Scratch, str, int, latency.Pause], Awaitable[list[float]]]]] = {
    "bare": latency.bare_idle,
    "bare with the law": latency.lawful_idle,
    "ours": latency.ours_idle,
}
# A p99 of 300 would be three waits; the three rounds of a pace are also looked at as one.
FULL: Final = Size(3, 3_000, (1_000, 100_000, 1_000_000), 1_000_000, 100_000, 5, (300, 1_000))
QUICK: Final = Size(3, 1_000, (1_000, 50_000), 50_000, 20_000, 2, (60, 60))


async def fill(scratch: Scratch, database: str, rows: int) -> None:
    """Load pending rows and let the statistics know."""
    async with connected(scratch.url(database)) as admin:
        await load.grant_kinds(admin)
        await load.load_pending(admin, rows)
        await admin.execute("VACUUM ANALYZE governance_tasks", timeout=300)
        # What was loaded is written out now, and not while the claims are measured.
        await admin.execute("CHECKPOINT", timeout=300)


async def rate(scratch: Scratch, database: str, kind: str, jobs: int, slots: int = SLOTS) -> float:
    """Give the jobs a second of one worker of a kind."""
    url = scratch.worker_url(database)
    done = await drain(url, kind, load.KINDS[kind], jobs, DRAIN_SECONDS, slots)
    return done.rate


async def limit(scratch: Scratch, size: Size) -> list[Line]:
    """Interleave L and our loop, with few slots and with many."""
    lines: list[Line] = []
    ratios: dict[int, list[float]] = {SLOTS: [], MANY_SLOTS: []}
    async with scratch.database("bench_limit") as database:
        await fill(scratch, database, enough(size.jobs, size.rounds * len(ratios)))
        for number in range(1, size.rounds + 1):
            for slots, found in ratios.items():
                top = await measure_limit(scratch, database, size.seconds, 20_000 * size.seconds)
                ours = await rate(scratch, database, "common", size.jobs, slots)
                found.append(ours / top)
                what = f"claim+complete, {slots} slots, round {number}"
                lines.append(Line(f"L, round {number}", top, "jobs/s"))
                lines.append(Line(what, ours, "jobs/s", ours / top, "L"))
    for slots, found in ratios.items():
        what = f"claim+complete, {slots} slots, median"
        lines.append(Line(what, median(found), "L", median(found), "L"))
    return lines


async def depth(scratch: Scratch, size: Size) -> list[Line]:
    """Measure each kind of worker at each depth, in buffers a poll and jobs or polls a second.

    The depths take turns, so that a slow minute of the machine is one of all of them.
    """
    found: dict[tuple[str, str], dict[int, float]] = {}
    rates: dict[tuple[str, int], list[float]] = {}
    async with AsyncExitStack() as stack:
        places: dict[int, str] = {}
        for rows in size.depths:
            places[rows] = await stack.enter_async_context(scratch.database(f"bench_{rows}"))
            await fill(scratch, places[rows], rows)
        for kind in load.KINDS:
            for rows, database in places.items():
                touched = await buffers(scratch, database, kind)
                found.setdefault((kind, "buffers"), {})[rows] = touched
        for _ in range(DEPTH_ROUNDS):
            for kind in load.KINDS:
                for rows, database in places.items():
                    speed = await depth_rate(scratch, database, kind)
                    rates.setdefault((kind, rows), []).append(speed)
    for (kind, rows), speeds in rates.items():
        unit = "polls/s" if kind == "absent" else "jobs/s"
        found.setdefault((kind, unit), {})[rows] = median(speeds)
    first = size.depths[0]
    return [
        Line(f"{rows:,} pending, {kind}", value, unit, value / at[first], f"{first:,}")
        for (kind, unit), at in found.items()
        for rows, value in at.items()
    ]


async def buffers(scratch: Scratch, database: str, kind: str) -> float:
    """Give the buffers that one poll of such a worker touches."""
    async with open_pool(scratch.worker_url(database), size=1) as pool:
        store = PgStore(pool)
        session = await store.open_session(WorkerId(f"see-{kind}"), kind, load.KINDS[kind], {})
        async with pool.acquire() as worker:
            return await poll_buffers(worker, session.id, session.secret, 1)  # type: ignore[arg-type]


async def depth_rate(scratch: Scratch, database: str, kind: str) -> float:
    """Give the rate of a short drain, or of empty polls; what it takes is put in again before."""
    if kind == "absent":
        return await empty_polls(scratch, database)
    if kind != "rare":
        async with connected(scratch.url(database)) as admin:
            taken = (DEPTH_JOBS + WARM_JOBS) * len(load.usual()) // len(load.KINDS["common"])
            await load.load_pending(admin, taken, rare=False)
    return await rate(scratch, database, kind, DEPTH_JOBS)


async def empty_polls(scratch: Scratch, database: str) -> float:
    """Give the polls a second of a worker for whom there is nothing."""
    polls = 200
    async with open_pool(scratch.worker_url(database), size=1) as pool:
        store = PgStore(pool)
        session = await store.open_session(WorkerId("poll"), "absent", (load.ABSENT,), {})
        clock = asyncio.get_running_loop()
        began = clock.time()
        for _ in range(polls):
            await store.claim(session, SLOTS)
        return polls / (clock.time() - began)


async def first_claim(scratch: Scratch, database: str) -> float:
    """Give the milliseconds of a worker's first claim, of one task."""
    async with open_pool(scratch.worker_url(database), size=1) as pool:
        store = PgStore(pool)
        session = await store.open_session(WorkerId("first"), "common", load.COMMON, {})
        clock = asyncio.get_running_loop()
        began = clock.time()
        await store.claim(session, 1)
        took = clock.time() - began
        await store.close_session(session)
    return 1_000 * took


async def history(scratch: Scratch, size: Size) -> list[Line]:
    """Measure behind finished rows that no vacuum has seen, and with blocked rows ahead, in turns.

    The first claim meets what the loading left, and is a line of its own: a swarm that finished
    these rows itself would have walked past them once a second, and not all at once.
    """
    ahead = {"fresh": 0, "finished": size.history, "blocked": size.blocked}
    lines: list[Line] = []
    async with AsyncExitStack() as stack:
        places: dict[str, str] = {}
        for name, rows in ahead.items():
            places[name] = await stack.enter_async_context(scratch.database(f"bench_{name}"))
            await put_ahead(scratch, places[name], name, rows, enough(size.jobs, size.rounds))
        for name, database in places.items():
            took = await first_claim(scratch, database)
            lines.append(Line(f"{ahead[name]:,} {name} rows ahead: first claim", took, "ms"))
        for number in range(1, size.rounds + 1):
            # Whoever is first in one round is last in the next.
            order = list(places)[number - 1 :] + list(places)[: number - 1]
            rates = {name: await rate(scratch, places[name], "common", size.jobs) for name in order}
            lines += [
                Line(
                    f"{ahead[name]:,} {name} rows ahead, round {number}",
                    *(speed, "jobs/s", speed / rates["fresh"], "fresh"),
                )
                for name, speed in rates.items()
                if name != "fresh"
            ]
    return lines


async def put_ahead(scratch: Scratch, database: str, name: str, rows: int, jobs: int) -> None:
    """Load so many finished or blocked rows, and behind them tasks to do."""
    async with connected(scratch.url(database)) as admin:
        await load.grant_kinds(admin)
        if name == "finished":
            await load.load_pending(admin, rows, rare=False, age=load.OLD)
            await load.unguarded(admin, load.FINISH)
        if name == "blocked":
            await load.unguarded(admin, load.BLOCKED, rows, list(load.COMMON))
        await load.load_pending(admin, jobs)
        await admin.execute("ANALYZE governance_tasks")
        await admin.execute("CHECKPOINT", timeout=300)


def enough(jobs: int, drains: int) -> int:
    """Give the rows to load for so many drains of the common types, which are half of them."""
    return 2 * (jobs + WARM_JOBS) * drains + 5_000


async def pickup(scratch: Scratch, size: Size) -> list[Line]:
    """Measure commit to pick-up of an idle worker, beside one bare listener, in turns."""
    lines: list[Line] = []
    async with scratch.database("bench_idle") as database:
        async with connected(scratch.url(database)) as admin:
            await load.grant_kinds(admin)
        for (pace, pause), jobs in zip(PACES.items(), size.pickups, strict=True):
            every: dict[str, list[float]] = {name: [] for name in LOOPS}
            for number in range(1, size.rounds + 1):
                found = {
                    name: await loop(scratch, database, jobs, pause) for name, loop in LOOPS.items()
                }
                for name, waits in found.items():
                    every[name] += waits
                lines += pickup_lines(f"{pace}, round {number}", found)
            lines += pickup_lines(f"{pace}, all rounds", every)
        rates = await latency.enqueue(scratch, database, size.seconds)
    for name, value in rates.items():
        plain = rates["plain bulk" if "bulk" in name else "plain single"]
        lines.append(Line(f"enqueue, {name}", value, "rows/s", value / plain, "plain"))
    return lines


def pickup_lines(when: str, waits: dict[str, list[float]]) -> list[Line]:
    """Set the waits of each loop beside those of the bare one."""
    parts = {name: latency.quantiles(found) for name, found in waits.items()}
    return [
        Line(
            f"pick-up {quantile}, {name}, {when}",
            *(found[number], "ms", found[number] / parts["bare"][number], "bare"),
        )
        for number, quantile in enumerate(("p50", "p99"))
        for name, found in parts.items()
    ]


async def guards(scratch: Scratch, size: Size) -> list[Line]:
    """Measure the loop, and single inserts, with one part of the law off at a time."""
    found: dict[str, list[float]] = {name: [] for name in GUARDS}
    for _ in range(size.rounds):
        rates: dict[str, float] = {}
        for name in ("all on", *GUARDS):
            async with scratch.database("bench_guard") as database:
                await fill(scratch, database, enough(size.jobs, 1))
                if name in GUARDS:
                    async with connected(scratch.url(database)) as admin:
                        await admin.execute(GUARDS[name])
                rates[name] = await rate(scratch, database, "common", size.jobs)
        for name in GUARDS:
            found[name].append(rates[name] / rates["all on"])
    lines = [
        Line(f"without {name}", median(ratios), "x", median(ratios), "all on")
        for name, ratios in found.items()
    ]
    return lines + await inserts(scratch, size.rounds, size.seconds)


PARTS: Final[dict[str, Callable[[Scratch, Size], Awaitable[list[Line]]]]] = {
    **{"limit": limit, "depth": depth, "history": history, "pickup": pickup, "guards": guards}
}


async def measure(size: Size, only: str | None, show: Callable[[Line], None]) -> list[Line]:
    """Run the parts in order."""
    lines: list[Line] = []
    async with asyncio.timeout(RUN_SECONDS), scratch_server() as scratch:
        for name, part in PARTS.items():
            if only in (None, name):
                found = await part(scratch, size)
                for line in found:
                    show(line)
                lines += found
    return lines


def main() -> None:
    """Read the arguments, measure, and write the table or JSON."""
    reader = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    reader.add_argument("--quick", action="store_true", help="small depths, about two minutes")
    reader.add_argument("--only", choices=sorted(PARTS), help="one part")
    reader.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    given = reader.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))

    def show(line: Line) -> None:
        """Write a line as soon as it is known."""
        if not given.json:
            sys.stdout.write(row(line))
            sys.stdout.flush()

    lines = asyncio.run(measure(QUICK if given.quick else FULL, given.only, show))
    if given.json:
        sys.stdout.write(json.dumps([asdict(line) for line in lines], indent=2) + "\n")


if __name__ == "__main__":
    main()
