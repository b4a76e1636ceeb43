"""Database logins: workers, plain-SQL programs, approvers, readers; what doctor asks of a server.

A login has one group role and nothing else. Its password is made here and sent as a SCRAM
verifier, so that it stands in no server log.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, LiteralString, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg

from juggernaut.adapters.postgres.queries import FREE_IT, START_IT
from juggernaut.domain.errors import (
    ConfigError,
    DatabaseUnreachable,
    InvalidInput,
    JuggernautError,
    LawRefused,
    SchemaDrift,
)

KINDS: Final = ("worker", "plain", "approver", "reader")
WORKING: Final = ("worker", "plain")
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
LOGIN_KEYS: Final = frozenset({"user", "password"})
RESERVED: Final = ("pg_", "juggernaut_")
CONNECT_SECONDS: Final = 10.0
PASSWORD_BYTES: Final = 24
SCRAM_ROUNDS: Final = 4_096  # RFC 7677 and PostgreSQL's own default
SALT_BYTES: Final = 16

# Connections of a login at once; a worker process has up to `pool_size` and three more.
# Without a word about it half of what the server has for all at most, or what one process needs.
CONNECTIONS: Final = {"worker": 100, "plain": 20, "approver": 20, "reader": 20}
ONE_PROCESS: Final = 8
ROOM: LiteralString = """
SELECT current_setting('max_connections')::int
     - current_setting('superuser_reserved_connections')::int
     - coalesce(current_setting('reserved_connections', true)::int, 0)
"""
# Temporary files of a session; only a superuser may say it. A worker's duties read all tasks.
TEMPORARY: Final = ("temp_file_limit", "1GB")

CREATE: LiteralString = (
    "SELECT format('CREATE ROLE %I LOGIN CONNECTION LIMIT %s PASSWORD %L IN ROLE %I',"
    " $1::text, $2::int, $3::text, $4::text)"
)
IS_SUPERUSER: LiteralString = (
    "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
)
# A group role cannot hand these on. The sweep ends what outlives them.
WORKER_SETTINGS: Final = (
    ("statement_timeout", "120s"),
    ("lock_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "60s"),
)
SET: LiteralString = "SELECT format('ALTER ROLE %I SET %I = %L', $1::text, $2::text, $3::text)"
DROP: LiteralString = "SELECT format('DROP ROLE %I', $1::text)"
# Roles are the server's and events a database's: where nothing was migrated there is no chain.
CHAIN_THERE: LiteralString = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_proc p
               JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
               WHERE n.nspname = 'juggernaut' AND p.proname = 'record_event')
"""
TELL: LiteralString = """
SELECT juggernaut.record_event($1::text, $2::text, NULL, jsonb_build_object('kind', $3::text))
"""
LOGINS: LiteralString = """
SELECT m.rolname::text AS name, replace(g.rolname::text, 'juggernaut_', '') AS kind,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.usesysid = m.oid) AS connections,
       nullif(m.rolconnlimit, -1) AS most,
       EXISTS (SELECT FROM unnest(m.rolconfig) AS c (setting)
               WHERE split_part(c.setting, '=', 1) = 'temp_file_limit') AS bounded_files
FROM pg_catalog.pg_auth_members am
JOIN pg_catalog.pg_roles m ON m.oid = am.member
JOIN pg_catalog.pg_roles g ON g.oid = am.roleid
WHERE g.rolname = ANY ($1::text[]) AND m.rolcanlogin
ORDER BY kind, name
"""
WORKING_ROLES: LiteralString = """
SELECT worker_type::text AS role FROM juggernaut.grants
UNION SELECT worker_type::text FROM public.worker_registry
"""
LIMIT: LiteralString = "SELECT limit_login($1::text, $2::text[])"
FACTS: LiteralString = """
SELECT current_setting('server_version_num')::int AS version_num,
       session_user::text AS login,
       r.rolsuper AS superuser,
       extract(epoch FROM clock_timestamp())::float8 AS server_time,
       EXISTS (SELECT FROM pg_catalog.pg_roles o
               WHERE o.rolname = 'juggernaut_owner'
                 AND pg_catalog.pg_has_role(session_user, o.oid, 'MEMBER')) AS owner,
       EXISTS (SELECT FROM pg_catalog.pg_roles o
               WHERE o.rolname = 'juggernaut_worker'
                 AND pg_catalog.pg_has_role(session_user, o.oid, 'MEMBER')) AS worker,
       EXISTS (SELECT FROM pg_catalog.pg_roles o
               WHERE o.rolname = 'juggernaut_approver'
                 AND pg_catalog.pg_has_role(session_user, o.oid, 'MEMBER')) AS approver,
       -- Where the role is not there yet, nothing refuses: the schema is what is missing.
       coalesce((SELECT pg_catalog.pg_has_role(session_user, o.oid,
                        CASE WHEN current_setting('server_version_num')::int >= 160000
                             THEN 'SET' ELSE 'MEMBER' END)
                 FROM pg_catalog.pg_roles o
                 WHERE o.rolname = 'juggernaut_worker'), true) AS may_drop
FROM pg_catalog.pg_roles r WHERE r.rolname = session_user
"""
MAY_WORK: LiteralString = """
SELECT session_user::text AS login,
       has_function_privilege('juggernaut.open_session_v1(text, text, jsonb)', 'EXECUTE') AS may
"""
WORKER_REMEDY: Final = "juggernaut login create worker NAME, and set WORKER_DATABASE_URL to its URL"
SHARED_REMEDY: Final = f"{WORKER_REMEDY}; or set DATABASE_URL to a superuser's address"
GRANTS_READABLE: LiteralString = """
SELECT coalesce(has_table_privilege(to_regclass('juggernaut.grants'), 'SELECT'), false)
"""
GRANTS: LiteralString = """
SELECT worker_type::text, array_agg(task_type::text ORDER BY task_type) AS task_types
FROM juggernaut.grants GROUP BY worker_type
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Asks: TypeAlias = "Connection | asyncpg.Pool[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a login sees of its server; `clock_gap` is server minus here, in seconds.

    `may_drop`: it can take the role juggernaut_worker, as a shared login does. `room`: how many
    connections all logins together may have, besides those that are reserved.
    """

    version_num: int
    login: str
    superuser: bool
    owner: bool
    worker: bool
    approver: bool
    may_drop: bool
    clock_gap: float
    room: int
    grants: dict[str, tuple[str, ...]]


async def create_login(dsn: str, kind: str, name: str, connections: int | None = None) -> str:
    """Create a login and give its URL; its password is nowhere else.

    connections: how many it may have at once; without it what is usual for the kind, and at most
    half of what the server has.
    """
    check_name(name)
    if connections is not None and connections < 1:
        raise ConfigError(f"{connections} connections: a login needs one at least")
    if kind not in KINDS:
        raise ConfigError(f"{kind!r} is no kind of login; use {', '.join(KINDS)}")
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    async with connected(dsn) as connection, connection.transaction():
        most = connections or usual(kind, await connection.fetchval(ROOM))
        statement = await connection.fetchval(
            CREATE, name, most, scram(password), f"juggernaut_{kind}"
        )
        await connection.execute(statement)
        settings = [*WORKER_SETTINGS] if kind in WORKING else []
        if kind != "worker" and await connection.fetchval(IS_SUPERUSER):
            settings.append(TEMPORARY)
        for setting, value in settings:
            await connection.execute(await connection.fetchval(SET, name, setting, value))
        await tell(connection, "login.created", name, kind)
    return url_of(dsn, name, password)


def usual(kind: str, room: int) -> int:
    """Give the connections of a login of a kind, where all logins together may have `room`."""
    return min(CONNECTIONS[kind], max(ONE_PROCESS, room // 2))


async def list_logins(dsn: str) -> list[dict[str, object]]:
    """Give name, kind, open connections and their bound (None: none) of each login."""
    async with connected(dsn) as connection:
        rows = await connection.fetch(LOGINS, [f"juggernaut_{kind}" for kind in KINDS])
    return [dict(row) for row in rows]


async def limit_login(dsn: str, name: str, kinds: Sequence[str]) -> None:
    """Let a worker's login work as these kinds of worker only; none: as any kind again."""
    check_name(name)
    if name not in {row["name"] for row in await list_logins(dsn) if row["kind"] in WORKING}:
        raise InvalidInput(f"{name!r} is no worker's login; `juggernaut login list` shows them")
    for kind in kinds:
        check_name(kind)
    async with connected(dsn) as connection:
        await connection.execute(LIMIT, name, list(kinds))


async def working_roles(dsn: str) -> set[str]:
    """Give the roles that were granted something, and those of the workers that registered."""
    async with connected(dsn) as connection:
        rows = await connection.fetch(WORKING_ROLES)
    return {row["role"] for row in rows}


async def drop_login(dsn: str, name: str) -> None:
    """Drop a login that is one of ours."""
    check_name(name)
    kinds = [str(row["kind"]) for row in await list_logins(dsn) if row["name"] == name]
    if not kinds:
        raise InvalidInput(f"{name!r} is no login made here; `juggernaut login list` shows them")
    async with connected(dsn) as connection, connection.transaction():
        await connection.execute(await connection.fetchval(DROP, name))
        await tell(connection, "login.dropped", name, ", ".join(kinds))


async def tell(connection: Connection, event: str, name: str, kind: str) -> None:
    """Write who may decide into the audit chain, in the transaction that makes it so."""
    if await connection.fetchval(CHAIN_THERE):
        await connection.execute(TELL, event, name, kind)


async def check_worker_login(connected_as: Asks) -> None:
    """Raise ConfigError unless this login may work as `juggernaut run` does."""
    row = await connected_as.fetchrow(MAY_WORK)
    if row is None or not row["may"]:
        login = "this login" if row is None else f"the login {row['login']}"
        raise ConfigError(f"{login} is no worker's: {WORKER_REMEDY}")


async def check_shared_login(dsn: str) -> None:
    """Raise ConfigError unless this login can drop to the worker role."""
    facts = await server_facts(dsn)
    if not facts.may_drop:
        raise ConfigError(f"{no_worker_role(facts)}; {SHARED_REMEDY}")


def no_worker_role(facts: ServerFacts) -> str:
    """Say why a shared login cannot work."""
    return (
        f"the login {facts.login} may not take the role juggernaut_worker:"
        " only a superuser may, or a login that was granted it"
    )


async def server_facts(dsn: str) -> ServerFacts:
    """Ask a server who we are there and what it is."""
    async with connected(dsn) as connection:
        row = await connection.fetchrow(FACTS)
        gap = 0.0 if row is None else row["server_time"] - time.time()
        room = await connection.fetchval(ROOM)
        readable = await connection.fetchval(GRANTS_READABLE)
        rows = await connection.fetch(GRANTS) if readable else []
    if row is None:
        raise DatabaseUnreachable("the server does not know its own login")
    return ServerFacts(
        version_num=row["version_num"],
        login=row["login"],
        superuser=row["superuser"],
        owner=row["owner"],
        worker=row["worker"],
        approver=row["approver"],
        may_drop=row["may_drop"],
        clock_gap=gap,
        room=room,
        grants={found["worker_type"]: tuple(found["task_types"]) for found in rows},
    )


def check_name(name: str) -> None:
    """Refuse a name that needs quoting anywhere, or that looks like a role of the system."""
    if not NAME.fullmatch(name) or name.startswith(RESERVED):
        raise ConfigError(
            f"the name {name[:60]!r} is not allowed: use a-z, 0-9 and _, at most 41 signs,"
            f" beginning with a letter and not with {' or '.join(RESERVED)}"
        )


def scram(password: str) -> str:
    """Give the SCRAM-SHA-256 verifier of a password (RFC 5803), as PostgreSQL stores it."""
    salt = secrets.token_bytes(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ROUNDS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${SCRAM_ROUNDS}:{parts[0]}${parts[1]}:{parts[2]}"


def url_of(dsn: str, login: str, password: str) -> str:
    """Give the same database's address for another login."""
    parts = urlsplit(dsn)
    place = parts.netloc.rpartition("@")[2]
    query = [(key, value) for key, value in parse_qsl(parts.query) if key not in LOGIN_KEYS]
    netloc = f"{quote(login, safe='')}:{quote(password, safe='')}@{place}"
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(query, safe="/"), ""))


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    """Connect for as long as the block lasts; errors never hold the password."""
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, statement_cache_size=0)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        raise named(error) from None
    try:
        yield connection
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise named(error) from None
    finally:
        await connection.close(timeout=CONNECT_SECONDS)


def named(error: Exception) -> JuggernautError:
    """Give a driver's error its place in the error tree, with a remedy."""
    if isinstance(error, asyncpg.DuplicateObjectError):
        return InvalidInput("a role of that name exists already; choose another name")
    if isinstance(error, asyncpg.UndefinedObjectError):
        return InvalidInput("the group roles are missing: run `juggernaut migrate` first")
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedFunctionError):
        return SchemaDrift(f"{error}: run `juggernaut migrate` with this version first")
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return LawRefused(f"{error}; use the operator's DATABASE_URL, it needs CREATEROLE")
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return ConfigError("the server refused the login or its password: check DATABASE_URL")
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return DatabaseUnreachable(f"no connection to PostgreSQL is free: {error}; {FREE_IT}")
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return ConfigError("the database does not exist: create it or check DATABASE_URL")
    if isinstance(error, asyncpg.ClientConfigurationError | ValueError):
        return ConfigError("the address of the database is not valid: check DATABASE_URL")
    if isinstance(error, asyncpg.PostgresConnectionError | asyncpg.InterfaceError | OSError):
        return DatabaseUnreachable(
            f"no answer from PostgreSQL: {str(error) or type(error).__name__}; {START_IT}"
        )
    return LawRefused(str(error))
