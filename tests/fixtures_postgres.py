"""Databases for the tests: one real server a test process, one fresh database a test.

Set JUGGERNAUT_TEST_DSN (a superuser's URL) to use a server of your own, or JUGGERNAUT_TEST_PG_BIN
(a bin folder) to start another PostgreSQL than the wheel's.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
import pytest

from juggernaut.app import local_postgres
from juggernaut.app.local_postgres import binaries
from juggernaut.app.migrate import migrate

SCRAM_ITERATIONS_SINCE = 16
MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"
# A new database is hundreds of new files: in memory it costs a thirtieth of what it does on disk.
MEMORY = Path("/dev/shm")
MEMORY_BYTES_LEAST = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Login:
    """A login role of one test; `group` is the role whose rights it has."""

    name: str
    group: str
    password: str = field(repr=False)


@dataclass(slots=True)
class Database:
    """One database of one test; connections that it opened are closed at the end."""

    url: str
    _opened: list[asyncpg.Connection[asyncpg.Record]] = field(default_factory=list)

    def url_for(self, login: str, password: str) -> str:
        """The URL of the same database for another login."""
        place = urlsplit(self.url)
        host = place.netloc.rpartition("@")[2]
        netloc = f"{quote(login, safe='')}:{quote(password, safe='')}@{host}"
        return place._replace(netloc=netloc).geturl()

    async def connect(self, login: Login | None = None) -> asyncpg.Connection[asyncpg.Record]:
        """A connection as the operator, or as one of the test's logins."""
        url = self.url_for(login.name, login.password) if login else self.url
        connection = await asyncpg.connect(url)
        self._opened.append(connection)
        return connection

    async def close(self) -> None:
        """Cut what the test left open."""
        for connection in self._opened:
            connection.terminate()
        self._opened.clear()


def with_database(url: str, name: str) -> str:
    """The same server's URL for another database."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@asynccontextmanager
async def operator(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A short superuser connection."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def fresh_database(server_url: str, template: str = "template0") -> AsyncIterator[Database]:
    """A database that exists as long as the block."""
    name = f"test_{secrets.token_hex(6)}"
    async with operator(server_url) as connection:
        await connection.execute(
            f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY'
        )
        if template != "template0":
            # A template's grants on the database itself are not copied; this is 0001's.
            await connection.execute(f'REVOKE TEMPORARY, CREATE ON DATABASE "{name}" FROM PUBLIC')
    made = Database(with_database(server_url, name))
    try:
        yield made
    finally:
        await made.close()
        async with operator(server_url) as connection:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@asynccontextmanager
async def fresh_login(database: Database, group: str) -> AsyncIterator[Login]:
    """A login in a group role that exists as long as the block (roles are cluster-wide)."""
    login = Login(f"test_{secrets.token_hex(6)}", group, secrets.token_urlsafe(12))
    async with operator(database.url) as connection:
        await connection.execute(
            f'CREATE ROLE "{login.name}" LOGIN PASSWORD \'{login.password}\' IN ROLE "{group}"'
        )
    try:
        yield login
    finally:
        await database.close()
        async with operator(database.url) as connection:
            await connection.execute(f'DROP OWNED BY "{login.name}" CASCADE')
            await connection.execute(f'DROP ROLE "{login.name}"')


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The superuser's URL of the session's server, on its maintenance database."""
    given = os.environ.get("JUGGERNAUT_TEST_DSN")
    if given:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="juggernaut-tests-", dir=_memory_folder()))
    folder.chmod(0o711)
    with pytest.MonkeyPatch.context() as patch:
        chosen = os.environ.get("JUGGERNAUT_TEST_PG_BIN")
        if chosen:
            patch.setattr(binaries, "candidate_folders", lambda: iter([Path(chosen).resolve()]))
        try:
            server = asyncio.run(local_postgres.start(folder / "pgdata", durable=False))
            asyncio.run(_log_in_quickly(server.url("postgres")))
            yield server.url("postgres")
        finally:
            asyncio.run(local_postgres.stop(folder / "pgdata"))
            shutil.rmtree(folder, ignore_errors=True)


def _memory_folder() -> Path | None:
    """Where files are kept in memory, if there is room for them; None is the usual place."""
    try:
        roomy = shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_LEAST
    except OSError:
        return None
    return MEMORY if roomy and os.access(MEMORY, os.W_OK) else None


async def _log_in_quickly(server_url: str) -> None:
    """Let passwords of this server be cheap to check: 4,096 rounds a connection add up to minutes.

    The setting is of PostgreSQL 16; an older server stays as it is.
    """
    place = urlsplit(server_url)
    async with operator(server_url) as connection:
        if connection.get_server_version().major < SCRAM_ITERATIONS_SINCE:
            return
        await connection.execute("ALTER SYSTEM SET scram_iterations = 1")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.execute("SET scram_iterations = 1")
        await connection.execute(f"ALTER ROLE \"{place.username}\" PASSWORD '{place.password}'")


@pytest.fixture(scope="session")
def template_database(postgres_server: str) -> Iterator[str]:
    """The name of a database with this repository's migrations, made once a session."""
    name = f"template_{secrets.token_hex(6)}"
    asyncio.run(_make_template(postgres_server, name))
    yield name
    asyncio.run(_drop_template(postgres_server, name))


async def _make_template(server_url: str, name: str) -> None:
    """Create the template and migrate it."""
    async with operator(server_url) as connection:
        await connection.execute(f'CREATE DATABASE "{name}"')
    await migrate(with_database(server_url, name), MIGRATIONS)


async def _drop_template(server_url: str, name: str) -> None:
    """Drop the template (a server that was given to us lives on)."""
    async with operator(server_url) as connection:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def pg_data_dir() -> Iterator[Path]:
    """A place for a data folder that every user can enter; its server is stopped afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="juggernaut-local-"))
    folder.chmod(0o711)
    try:
        yield folder / "pgdata"
    finally:
        asyncio.run(local_postgres.stop(folder / "pgdata"))
        shutil.rmtree(folder)


@pytest.fixture
async def database(postgres_server: str, template_database: str) -> AsyncIterator[Database]:
    """A migrated database of this test alone."""
    async with fresh_database(postgres_server, template_database) as made:
        yield made


@pytest.fixture
async def empty_database(postgres_server: str) -> AsyncIterator[Database]:
    """A database without any schema of ours."""
    async with fresh_database(postgres_server) as made:
        yield made


@pytest.fixture
async def worker_login(database: Database) -> AsyncIterator[Login]:
    """A worker's login in this test's database."""
    async with fresh_login(database, "juggernaut_worker") as login:
        yield login


@pytest.fixture
async def plain_login(database: Database) -> AsyncIterator[Login]:
    """The login of a program that works by plain SQL, in this test's database."""
    async with fresh_login(database, "juggernaut_plain") as login:
        yield login


@pytest.fixture
async def approver_login(database: Database) -> AsyncIterator[Login]:
    """An approver's login in this test's database."""
    async with fresh_login(database, "juggernaut_approver") as login:
        yield login


@pytest.fixture
async def reader_login(database: Database) -> AsyncIterator[Login]:
    """A reader's login in this test's database."""
    async with fresh_login(database, "juggernaut_reader") as login:
        yield login
