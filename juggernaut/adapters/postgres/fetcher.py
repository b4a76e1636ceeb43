"""The fetcher of one process: the connection that claims, held while it is well.

A pool would look for a connection at each claim and put it back after it, and each of its
connections would have to plan the claim once. When two workers of the process claim in the same
moment, the second goes through the pool, and so do all in a pool that is too small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import asyncpg

from juggernaut.adapters.postgres import queries

Held: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
CLAIM: Final = "claim_tasks"
LEAST: Final = 3  # connections of a pool of which one may be kept from the rest


class Fetcher:
    """Runs the statement that claims."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], *, prepares: bool) -> None:
        """Take one connection of a pool that somebody else closes.

        prepares: whether a prepared statement outlives its transaction; not through a pooler.
        """
        self._pool = pool
        self._prepares = prepares
        self._held: Held | None = None
        self._source: queries.Rows | None = None
        self._busy = pool.get_max_size() < LEAST

    async def claim(self, *values: object) -> Sequence[asyncpg.Record]:
        """Claim; after any error the connection goes back to the pool, which looks after it."""
        if self._busy:
            return await queries.fetch(self._pool, CLAIM, *values)
        self._busy = True
        try:
            return await queries.fetch(self, CLAIM, *values)
        except BaseException:
            await self._let_go()
            raise
        finally:
            self._busy = False

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Run the statement on the connection that is held."""
        if self._held is None or self._held.is_closed():
            await self._let_go()
            self._held = await self._pool.acquire()
            self._source = Prepared(await self._held.prepare(query)) if self._prepares else None
        return await (self._source or self._held).fetch(query, *args)

    async def _let_go(self) -> None:
        """Give the connection back."""
        held, self._held, self._source = self._held, None, None
        if held is not None:
            await self._pool.release(held)


class Prepared:
    """A prepared statement, where a connection could stand."""

    def __init__(self, statement: asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]) -> None:
        """Hold the statement as long as its connection."""
        self._statement = statement

    async def fetch(self, _: str, *args: object) -> list[asyncpg.Record]:
        """Run it."""
        rows: list[asyncpg.Record] = await self._statement.fetch(*args)
        return rows
