"""Statements from sql/<verb_noun>.sql, and the driver's errors in terms of our own tree."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final, Protocol

import asyncpg

from juggernaut.domain.errors import (
    BudgetExhausted,
    DatabaseUnreachable,
    InvalidInput,
    JuggernautError,
    LawRefused,
    LeaseLost,
    SchemaDrift,
)

# The SQLSTATEs of juggernaut.refuse (migrations/0001).
PURSE_STATE: Final = "JG002"
LEASE_STATE: Final = "JG003"

# What to do where nobody answers.
START_IT: Final = (
    "start the server, or correct the address (--dsn, DATABASE_URL or WORKER_DATABASE_URL;"
    " `juggernaut config --explain` says which holds)"
)
# What to do where the server answers, and has no connection left for this login.
FREE_IT: Final = (
    "give it more (as operator: ALTER ROLE name CONNECTION LIMIT n; `juggernaut login create"
    " --connections n`), or each replica a login of its own; `juggernaut login list` counts them"
)
UNREACHABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver's word when the backend is cut in mid-statement
)
_NOT_MIGRATED = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedColumnError,
    asyncpg.InvalidSchemaNameError,
)
CATCH: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


class Rows(Protocol):
    """What runs a statement: a pool or a connection."""

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Run and give all rows."""
        ...


@cache
def sql(name: str) -> str:
    """Read the statement of sql/<name>.sql."""
    return files(__package__).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


async def fetch(source: Rows, name: str, *values: object) -> Sequence[asyncpg.Record]:
    """Run a statement; errors come back as ours. Raises LeaseLost for an attempt that lost it."""
    try:
        return await source.fetch(sql(name), *values)
    except CATCH as error:
        if getattr(error, "sqlstate", None) == LEASE_STATE:
            raise LeaseLost(first_line(error)) from error
        raise named(error) from error


def named(error: Exception) -> JuggernautError:
    """Give an error of the driver its place in the error tree."""
    text = first_line(error)
    if getattr(error, "sqlstate", None) == PURSE_STATE:
        return BudgetExhausted(text)
    if isinstance(error, _NOT_MIGRATED):
        return SchemaDrift(f"{text}: run `juggernaut migrate` with this version first")
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return DatabaseUnreachable(f"no connection to PostgreSQL is free: {text}; {FREE_IT}")
    if isinstance(error, UNREACHABLE):
        return DatabaseUnreachable(f"the connection to PostgreSQL was lost: {text}")
    if isinstance(error, asyncpg.DataError):
        return InvalidInput(text)
    return LawRefused(text)


def first_line(error: Exception) -> str:
    """Give the message, with the remedy that the database may have put into a hint."""
    message = str(error).strip().splitlines() or [type(error).__name__]
    hint = getattr(error, "hint", None)
    return f"{message[0]} ({hint})" if hint else message[0]
