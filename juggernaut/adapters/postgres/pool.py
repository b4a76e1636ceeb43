"""Connections: one pool a process, with JSON as Python values."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from juggernaut.adapters.postgres.decoding import read_json
from juggernaut.adapters.postgres.queries import CATCH, named

COMMAND_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 10.0


@asynccontextmanager
async def open_pool(
    dsn: str | Callable[[], str], *, size: int, role: str | None = None, pooled: bool = False
) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """Open a pool of at most `size` connections and close it at the end.

    dsn: the address, or what gives the one that a new connection shall use.
    role: what a shared login drops to on connect. pooled: the address is a PgBouncer in
    transaction mode, where prepared statements do not outlive a transaction.
    """

    # What the pool asks for is passed on as it is.
    async def connect(*_: object, **asked: Any) -> asyncpg.Connection[asyncpg.Record]:  # noqa: ANN401
        """Open one connection to the address of the moment."""
        return await asyncpg.connect(dsn if isinstance(dsn, str) else dsn(), **asked)

    settings = {"application_name": "juggernaut"}
    if role is not None and not pooled:
        settings["role"] = role
    try:
        pool = await asyncpg.create_pool(
            connect=connect,
            min_size=1,
            max_size=size,
            command_timeout=COMMAND_SECONDS,
            timeout=CONNECT_SECONDS,
            statement_cache_size=0 if pooled else 100,
            server_settings=settings,
            init=_json,
            reset=_nothing,
        )
    except CATCH as error:
        raise named(error) from error
    try:
        yield pool
    finally:
        pool.terminate()


async def _json(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Send and read jsonb as Python values."""
    await connection.set_type_codec(
        "jsonb", encoder=json.dumps, decoder=read_json, schema="pg_catalog"
    )


async def _nothing(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Leave a connection as it is: we set no session state, so there is nothing to reset."""
