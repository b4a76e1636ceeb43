"""The plans of the hot statements: buffers must not grow with what waits or what is finished."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest

from benchmarks import load
from benchmarks.plans import poll_buffers
from juggernaut.domain.model import Session, WorkerId
from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm, open_swarm

FULL = os.environ.get("JUGGERNAUT_TRIALS") == "full"
SMALL = 1_000
DEEP = 1_000_000 if FULL else 100_000
ALLOWED_GROWTH = 1.2
TRIES = 4
BAD_PLANS = ("hashjoin", "mergejoin", "sort", "material", "indexscan", "nestloop")

pytestmark = pytest.mark.timeout(300 if FULL else 60)


@dataclass(frozen=True, slots=True)
class Bench:
    """A swarm with one worker of each kind, each on the connection that it polls with."""

    swarm: Swarm
    sessions: dict[str, Session]
    worker: asyncpg.Connection[asyncpg.Record]

    async def polls(self) -> dict[str, int]:
        """Give the buffers of one poll for each kind of worker."""
        return {
            kind: await poll_buffers(self.worker, session.id, session.secret, 1)
            for kind, session in self.sessions.items()
        }


@asynccontextmanager
async def open_bench(database: Database, login: Login) -> AsyncIterator[Bench]:
    """Open a swarm with the benchmark's kinds of workers."""
    async with open_swarm(database, login) as swarm:
        await load.grant_kinds(swarm.operator)
        sessions = {
            kind: await swarm.store.open_session(WorkerId(f"w-{kind}"), kind, types, {})
            for kind, types in load.KINDS.items()
        }
        yield Bench(swarm, sessions, await database.connect(login))


@pytest.fixture
async def bench(database: Database, worker_login: Login) -> AsyncIterator[Bench]:
    """A bench in a database of its own."""
    async with open_bench(database, worker_login) as made:
        yield made


@pytest.mark.slow
async def test_a_poll_is_as_short_when_the_queue_is_deep(bench: Bench) -> None:
    """Common, rare, absent and all-types workers; with fresh statistics and with stale ones."""
    operator = bench.swarm.operator
    await load.load_pending(operator, SMALL)
    await operator.execute("VACUUM ANALYZE governance_tasks")
    shallow = await bench.polls()
    await load.load_pending(operator, DEEP - SMALL, rare=False)
    stale = await bench.polls()
    await operator.execute("VACUUM ANALYZE governance_tasks", timeout=120)
    deep = await bench.polls()
    for kind, before in shallow.items():
        assert stale[kind] <= before * ALLOWED_GROWTH + 2, (kind, before, stale[kind])
        assert deep[kind] <= before * ALLOWED_GROWTH + 2, (kind, before, deep[kind])


@pytest.mark.slow
async def test_blocked_rows_ahead_cost_nothing(bench: Bench) -> None:
    """A task that waits for others is in no lane's walk."""
    operator = bench.swarm.operator
    await load.load_pending(operator, SMALL)
    without = await bench.polls()
    await load.unguarded(operator, load.BLOCKED, DEEP // 5, list(load.COMMON))
    ahead = await bench.polls()
    for kind, before in without.items():
        assert ahead[kind] <= before * ALLOWED_GROWTH + 2, (kind, before, ahead[kind])


@pytest.mark.parametrize("off", BAD_PLANS)
async def test_a_claim_takes_what_it_was_asked_for_under_any_plan(
    database: Database, worker_login: Login, off: str
) -> None:
    """A forced bad plan neither widens a claim nor walks the table."""
    async with open_bench(database, worker_login) as bench:
        await load.load_pending(bench.swarm.operator, SMALL)
        session = bench.sessions["common"]
        await bench.worker.execute(f"SET enable_{off} = off")
        rows = await bench.worker.fetch(
            "SELECT task, fence FROM juggernaut.claim_v1($1, $2, $3)", session.id, session.secret, 1
        )
        assert len(rows) == 1
        assert await bench.swarm.operator.fetchval(
            "SELECT count(*) FROM governance_tasks WHERE status = 'in_progress'"
        ) == len(rows)


async def test_behind_finished_rows_the_floor_of_a_lane_is_used(bench: Bench) -> None:
    """Dead rows at the head, kept by a held snapshot, are walked once and not by every poll."""
    operator = bench.swarm.operator
    await operator.execute("ALTER TABLE governance_tasks SET (autovacuum_enabled = off)")
    await load.load_pending(operator, 5 * SMALL, rare=False, age=load.OLD)
    holder = bench.worker
    await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await holder.fetchval("SELECT count(*) FROM governance_tasks")
    await load.unguarded(operator, load.FINISH)
    await load.load_pending(operator, SMALL, rare=False)
    session = bench.sessions["common"]
    async with bench.swarm.pool.acquire() as worker:
        # The first poll of a connection pays for its plans, so the second one counts.
        first = await poll_buffers(worker, session.id, session.secret, 1, warm=2)  # type: ignore[arg-type]
        for _ in range(TRIES):  # a floor counts for a second, and the machine may take longer
            await bench.swarm.store.claim(session, 10)
            after = await poll_buffers(worker, session.id, session.secret, 1, warm=1)  # type: ignore[arg-type]
            if after * 5 < first:
                break
    await holder.execute("ROLLBACK")
    assert after * 5 < first, (first, after)
