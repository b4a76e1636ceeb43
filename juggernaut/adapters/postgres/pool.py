"""Connections: one pool a process, with JSON as Python values."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from juggernaut.adapters.postgres.queries import CATCH, named

COMMAND_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 10.0


@asynccontextmanager
async def open_pool(
    dsn: str, *, size: int, role: str | None = None, pooled: bool = False
) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """Open a pool of at most `size` connections and close it at the end.

    role: what a shared login drops to on connect. pooled: the address is a PgBouncer in
    transaction mode, where prepared statements do not outlive a transaction.
    """
    settings = {"application_name": "juggernaut"}
    if role is not None and not pooled:
        settings["role"] = role
    try:
        pool = await asyncpg.create_pool(
            dsn,
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
        "jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
    )


async def _nothing(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Leave a connection as it is: we set no session state, so there is nothing to reset."""
