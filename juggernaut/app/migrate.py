"""Forward-only migrations: numbered SQL files, each in one transaction, under one lock.

load_migrations -> connect -> lock -> compare with the database -> apply what is missing
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from juggernaut.adapters.postgres.queries import FREE_IT, START_IT
from juggernaut.app.database_url import URL_FORM, describe
from juggernaut.app.fingerprint import differences, take_fingerprint
from juggernaut.app.migration_files import Migration, load_migrations
from juggernaut.domain.errors import ConfigError, DatabaseUnreachable, SchemaDrift

__all__ = ["Migration", "MigrationReport", "check_schema", "load_migrations", "migrate"]

# "jugg" in ASCII; the same in every release, so that an old and a new runner exclude each other.
LOCK_KEY = 0x6A756767
CONNECT_TIMEOUT_SECONDS = 15.0
NAMED_DIFFERENCES = 5

# Every file starts from the same session. search_path is pinned because a login that is called
# juggernaut would otherwise create in schema juggernaut ("$user"). lock_timeout: DDL that waits for
# a locked table makes every reader queue behind it.
FRESH_SESSION: LiteralString = """
RESET ALL;
SET search_path = public;
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_min_messages = warning;
SET lock_timeout = '60s'
"""
LOCK: LiteralString = "SELECT pg_advisory_lock($1)"
LOCK_PATIENCE: LiteralString = "SET statement_timeout = 0; SET lock_timeout = '600s'"
MAKE_LEDGER: LiteralString = """
CREATE SCHEMA IF NOT EXISTS juggernaut;
CREATE TABLE IF NOT EXISTS juggernaut.migrations (
    version     int PRIMARY KEY,
    name        text NOT NULL,
    checksum    text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    fingerprint jsonb
)
"""
LOGIN: LiteralString = "SELECT session_user::text"
LEDGER_EXISTS: LiteralString = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_class c
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'juggernaut' AND c.relname = 'migrations')
"""
APPLIED: LiteralString = """
SELECT version, name, checksum, fingerprint::text AS fingerprint
FROM juggernaut.migrations ORDER BY version
"""
RECORD: LiteralString = """
INSERT INTO juggernaut.migrations (version, name, checksum) VALUES ($1, $2, $3)
"""
# Files create as the owner role (SET LOCAL ROLE); the ledger belongs to who runs them.
OWN_ROLE: LiteralString = "RESET ROLE"
TRANSACTION: LiteralString = "SELECT pg_current_xact_id()::text"
STORE_FINGERPRINT: LiteralString = """
UPDATE juggernaut.migrations SET fingerprint = $2::text::jsonb WHERE version = $1
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"


LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    ConnectionError,
)
NOT_ALLOWED = (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)
OPERATORS = "use the operator's DATABASE_URL"


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What one run did: file names applied, how many were there before, the version reached."""

    applied: tuple[str, ...]
    already: int
    version: int


async def migrate(dsn: str, folder: Path) -> MigrationReport:
    """Apply what is missing; any number of processes may call this at once, twice is a no-op.

    `dsn` must reach PostgreSQL directly or through a session pool (the lock belongs to a session).
    Raises SchemaDrift, before anything is changed, when the database is not what the files made,
    and ConfigError for a login that may not migrate.
    """
    migrations = load_migrations(folder)
    async with _connected(dsn) as connection, _as_operator(connection):
        await connection.execute(LOCK_PATIENCE)
        try:
            await connection.fetchval(LOCK, LOCK_KEY)
        except asyncpg.LockNotAvailableError:
            raise ConfigError("another `juggernaut migrate` has held its lock for 600 s") from None
        await _make_ledger(connection)
        rows = await connection.fetch(APPLIED)
        _compare_files(rows, migrations)
        await _compare_shape(connection, rows)
        missing = migrations[len(rows) :]
        for migration in missing:
            await _apply(connection, migration)
    applied = tuple(migration.name for migration in missing)
    return MigrationReport(applied, already=len(rows), version=len(migrations))


async def check_schema(dsn_or_connection: str | Connection, folder: Path) -> None:
    """Raise SchemaDrift, naming what differs, unless the schema is what the files make."""
    migrations = load_migrations(folder)
    if isinstance(dsn_or_connection, str):
        async with _connected(dsn_or_connection) as connection:
            await _check(connection, migrations)
    else:
        await _check(dsn_or_connection, migrations)


async def _check(connection: Connection, migrations: Sequence[Migration]) -> None:
    """Compare the ledger, then the shape."""
    if not await connection.fetchval(LEDGER_EXISTS):
        raise SchemaDrift("the database has no Juggernaut schema: run `juggernaut migrate`")
    try:
        rows = await connection.fetch(APPLIED)
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigError(f"this login may not read juggernaut.migrations: {error}") from None
    _compare_files(rows, migrations)
    if len(rows) < len(migrations):
        raise SchemaDrift(
            f"the database is at {len(rows)}, this program needs {len(migrations)}:"
            " run `juggernaut migrate`"
        )
    await _compare_shape(connection, rows)


def _compare_files(rows: Sequence[asyncpg.Record], migrations: Sequence[Migration]) -> None:
    """Refuse a ledger that is not a prefix of the files."""
    for number, row in enumerate(rows, start=1):
        if row["version"] != number:
            raise SchemaDrift(f"juggernaut.migrations has no row {number}: it was edited by hand")
    for row, migration in zip(rows, migrations, strict=False):
        if (row["name"], row["checksum"]) != (migration.name, migration.checksum):
            raise SchemaDrift(
                f"migration {migration.name} differs from the {row['name']} that this database"
                " applied: put the file back; changes go into a new migration"
            )
    if len(rows) > len(migrations):
        raise SchemaDrift(
            f"the database is at {len(rows)}, newer than this program, which knows"
            f" {len(migrations)}: upgrade the program"
        )


async def _compare_shape(connection: Connection, rows: Sequence[asyncpg.Record]) -> None:
    """Refuse a schema that somebody changed since the last migration."""
    if not rows or rows[-1]["fingerprint"] is None:
        return
    transaction = connection.transaction()
    await transaction.start()
    try:
        found = await take_fingerprint(connection)
    finally:
        # Undoes the empty search_path, also inside a caller's transaction.
        await transaction.rollback()
    named = differences(rows[-1]["fingerprint"], found)
    if named:
        more = len(named) - NAMED_DIFFERENCES
        rest = f" and {more} more" if more > 0 else ""
        raise SchemaDrift(
            f"the schema was changed outside the migrations: {', '.join(named[:NAMED_DIFFERENCES])}"
            f"{rest}; undo that by hand"
        )


async def _make_ledger(connection: Connection) -> None:
    """Create the runner's schema and table, unless they are there."""
    if not await connection.fetchval(LEDGER_EXISTS):
        await connection.execute(MAKE_LEDGER)


@asynccontextmanager
async def _as_operator(connection: Connection) -> AsyncIterator[None]:
    """Tell in one line that a login may not do what the block does, and which one may."""
    try:
        yield
    except NOT_ALLOWED as error:
        login = await connection.fetchval(LOGIN)
        raise ConfigError(f"login {login} may not migrate ({error}): {_remedy(error)}") from None


def _remedy(error: asyncpg.PostgresError) -> str:
    """Say what to do about a login that may not."""
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return f"{OPERATORS}, of a database that takes writes"
    return OPERATORS


async def _apply(connection: Connection, migration: Migration) -> None:
    """Run one file and record it, or leave nothing of it."""
    await connection.execute(FRESH_SESSION)
    try:
        async with connection.transaction():
            await connection.execute(RECORD, migration.version, migration.name, migration.checksum)
            before = await connection.fetchval(TRANSACTION)
            await connection.execute(migration.sql)
            await connection.execute(OWN_ROLE)
            if await connection.fetchval(TRANSACTION) != before:
                raise ConfigError(
                    f"migration {migration.name} ends its transaction itself (COMMIT or ROLLBACK):"
                    " remove that; what it did before is not undone"
                )
            shape = await take_fingerprint(connection)
            await connection.execute(STORE_FINGERPRINT, migration.version, shape)
    except LOST:
        raise
    except asyncpg.PostgresError as error:
        remedy = f"; {_remedy(error)}" if isinstance(error, NOT_ALLOWED) else ""
        raise ConfigError(
            f"migration {migration.name} failed{_place(error, migration.sql)}: {error}"
            f" ({error.sqlstate}); nothing of it was applied{remedy}"
        ) from error


def _place(error: asyncpg.PostgresError, sql: str) -> str:
    """Where in the file it failed, when PostgreSQL says so."""
    position = getattr(error, "position", None)
    if not position:
        return ""
    return f" at line {sql.count(chr(10), 0, int(position) - 1) + 1}"


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """One direct connection; what fails is told in one line that never holds the password."""
    where = describe(dsn)
    if not dsn.strip():
        raise ConfigError(f"the database URL is empty: {URL_FORM}")
    try:
        connection = await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT_SECONDS, statement_cache_size=0
        )
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError):
        raise ConfigError(f"{where} refused the login or its password") from None
    except asyncpg.InvalidCatalogNameError:
        raise ConfigError(f"the database of {where} does not exist: create it first") from None
    except (asyncpg.ClientConfigurationError, ValueError):
        raise ConfigError(f"the database URL for {where} is not valid: {URL_FORM}") from None
    except asyncpg.TooManyConnectionsError as error:
        raise DatabaseUnreachable(
            f"no connection to the PostgreSQL at {where} is free: {error}; {FREE_IT}"
        ) from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
        reason = str(error) or type(error).__name__
        raise DatabaseUnreachable(f"no PostgreSQL at {where}: {reason}; {START_IT}") from None
    try:
        yield connection
    except LOST as error:
        raise DatabaseUnreachable(f"lost the connection to {where}: {error}") from None
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_SECONDS)
