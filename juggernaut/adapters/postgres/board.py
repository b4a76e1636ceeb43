"""What people read and decide: the public views and functions, over one connection.

async with open_board(dsn) as board:
    rows = await board.rows("list_workers")
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg

from juggernaut.adapters.postgres import queries
from juggernaut.adapters.postgres.decoding import read_json
from juggernaut.domain.errors import (
    ConfigError,
    DatabaseUnreachable,
    InvalidInput,
    LawRefused,
)

Row: TypeAlias = dict[str, object]

CONNECT_SECONDS: Final = 10.0
COMMAND_SECONDS: Final = 30.0
PREFIX_LEAST: Final = 4
UUID_DIGITS: Final = 32
HEX: Final = frozenset("0123456789abcdef")

_BAD_ADDRESS = (
    ValueError,
    asyncpg.ClientConfigurationError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


class Board:
    """The public views and functions; each method is one statement."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Wrap a connection that somebody else closes."""
        self._connection = connection

    async def rows(self, query: str, *values: object) -> list[Row]:
        """Run the statement of sql/<query>.sql and give its rows."""
        try:
            found = await self._connection.fetch(queries.sql(query), *values)
        except queries.CATCH as error:
            raise queries.named(error) from None
        return [dict(record) for record in found]

    async def row(self, query: str, *values: object) -> Row | None:
        """Run a statement that gives at most one row."""
        found = await self.rows(query, *values)
        return found[0] if found else None

    async def only(self, query: str, *values: object) -> Row:
        """Run a statement that has to give a row."""
        found = await self.row(query, *values)
        if found is None:
            raise LawRefused(f"{query}: the database gave no row; this login may not see it")
        return found

    async def statement(self, text: str) -> str:
        """Run SQL that a person would paste into psql, exactly as given; gives its tag."""
        try:
            return str(await self._connection.execute(text))
        except queries.CATCH as error:
            raise queries.named(error) from None

    async def task_id(self, start: str) -> UUID:
        """Give the one task whose id starts so; InvalidInput when none or several do."""
        return await self._one(start, "task", "find_tasks")

    async def goal_id(self, start: str) -> UUID:
        """Give the one goal whose id starts so; InvalidInput when none or several do."""
        return await self._one(start, "goal", "find_goals")

    async def _one(self, start: str, kind: str, query: str) -> UUID:
        """Find the id of a row by its start; the index on the key serves the range."""
        low, high = id_range(start, kind)
        found = await self.rows(query, low, high)
        if not found:
            raise InvalidInput(f"no {kind} has an id that starts with {start!r}: see `{kind} list`")
        if len(found) > 1:
            names = ", ".join(f"{row['id']}" for row in found)
            raise InvalidInput(f"several {kind}s start with {start!r}: give more of {names}")
        return UUID(str(found[0]["id"]))


def id_range(start: str, kind: str) -> tuple[UUID, UUID]:
    """Give the lowest and highest id that starts so.

    >>> [str(end) for end in id_range("ab12", "task")]
    ['ab120000-0000-0000-0000-000000000000', 'ab12ffff-ffff-ffff-ffff-ffffffffffff']
    """
    digits = start.strip().lower().replace("-", "")
    if not HEX.issuperset(digits) or not PREFIX_LEAST <= len(digits) <= UUID_DIGITS:
        raise InvalidInput(
            f"{start[:80]!r} is no {kind} id: give at least its first {PREFIX_LEAST} digits"
        )
    return UUID(digits.ljust(UUID_DIGITS, "0")), UUID(digits.ljust(UUID_DIGITS, "f"))


@asynccontextmanager
async def open_board(dsn: str) -> AsyncIterator[Board]:
    """Connect for as long as the block lasts; errors name the server, never the password.

    No statement cache: PgBouncer in transaction mode must do.
    """
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            statement_cache_size=0,
            server_settings={"application_name": "juggernaut-board"},
        )
    except _BAD_ADDRESS as error:
        raise ConfigError(f"cannot log in to {place(dsn)}: {queries.first_line(error)}") from None
    except asyncpg.TooManyConnectionsError as error:
        raise queries.named(error) from None
    except (asyncpg.PostgresError, *queries.UNREACHABLE) as error:
        raise DatabaseUnreachable(
            f"no answer from {place(dsn)}: {queries.first_line(error)}; {queries.START_IT}"
        ) from None
    try:
        for kind in ("json", "jsonb"):
            await connection.set_type_codec(
                kind, schema="pg_catalog", encoder=json.dumps, decoder=read_json
            )
        yield Board(connection)
    finally:
        await connection.close(timeout=CONNECT_SECONDS)


def place(dsn: str) -> str:
    """Name a server without its password."""
    try:
        parts = urlsplit(dsn)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the database (its address is not a URL)"
    # An "@" after the host means that an unescaped character cut the password in two.
    if not parts.hostname or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return "the database at the given address"
    return f"{parts.hostname}{port}{parts.path}"
