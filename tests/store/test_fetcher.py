"""The connection that claims: kept while it is well, and nothing is lost with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.adapters.postgres.store import PgStore
from juggernaut.domain.errors import DatabaseUnreachable
from juggernaut.domain.model import Claim
from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm

BACKENDS = """
SELECT pid FROM pg_stat_activity
 WHERE datname = current_database() AND usename = $1 AND query LIKE '%claim_v1%'
"""
TASKS = 6


@asynccontextmanager
async def sized(
    database: Database, login: Login, size: int, *, pooled: bool = False
) -> AsyncIterator[Swarm]:
    """Open a swarm whose pool has so many connections."""
    url = database.url_for(login.name, login.password)
    async with open_pool(url, size=size, pooled=pooled) as pool:
        swarm = Swarm(PgStore(pool, pooled=pooled), await database.connect(), pool)
        for _ in range(TASKS):
            await swarm.add()
        yield swarm


@pytest.mark.parametrize("pooled", [False, True])
async def test_one_connection_claims(
    database: Database, worker_login: Login, *, pooled: bool
) -> None:
    """Claim after claim, while others of the pool do other work; prepared or not."""
    async with sized(database, worker_login, 4, pooled=pooled) as swarm:
        session = await swarm.worker()
        for _ in range(TASKS // 2):
            claim = await swarm.claim_one(session)
            await asyncio.gather(*(swarm.store.still_held(claim.lease) for _ in range(3)))
        assert len(await swarm.operator.fetch(BACKENDS, worker_login.name)) == 1


async def test_a_lost_connection_is_replaced(database: Database, worker_login: Login) -> None:
    """The claims that meet the loss say so; soon one claims."""
    async with sized(database, worker_login, 4) as swarm:
        session = await swarm.worker()
        await swarm.claim_one(session)
        for row in await swarm.operator.fetch(BACKENDS, worker_login.name):
            await swarm.operator.fetchval("SELECT pg_terminate_backend($1, 5000)", row["pid"])
        claims: Sequence[Claim] = ()
        async with asyncio.timeout(10):
            while not claims:
                with suppress(DatabaseUnreachable):
                    claims = await swarm.store.claim(session, 1)
                await asyncio.sleep(0.05)
        assert len(claims) == 1


async def test_a_claim_that_is_cut_off_leaves_a_connection_that_claims(
    database: Database, worker_login: Login
) -> None:
    """A cancelled claim waits for a lock; the next one runs on a whole connection."""
    async with sized(database, worker_login, 4) as swarm:
        session = await swarm.worker()
        await swarm.claim_one(session)
        holder = await database.connect()
        held = holder.transaction()
        await held.start()
        await holder.execute("LOCK TABLE juggernaut.attempts")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await swarm.store.claim(session, 1)
        await held.rollback()
        assert len(await swarm.store.claim(session, TASKS)) == TASKS - 1


async def test_two_claims_at_once_do_not_wait_for_each_other(
    database: Database, worker_login: Login
) -> None:
    """The second goes through the pool; a pool that is too small keeps nothing back."""
    for size in (4, 2):
        async with sized(database, worker_login, size) as swarm:
            session = await swarm.worker()
            found = await asyncio.gather(*(swarm.store.claim(session, 2) for _ in range(3)))
            assert sum(len(claims) for claims in found) >= TASKS
            free = [await swarm.pool.acquire(timeout=5) for _ in range(size - (size > 2))]
            for connection in free:
                await swarm.pool.release(connection)
            await swarm.operator.execute("UPDATE governance_tasks SET status = 'cancelled'")
