"""A durable PostgreSQL of our own for one run, and databases in it that nobody else uses."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg

from juggernaut.app import local_postgres
from juggernaut.app.migrate import migrate

MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"
BASE = "bench_base"
LOGIN = "bench_worker"


@dataclass(frozen=True, slots=True)
class Scratch:
    """One server; every database is a copy of one that was migrated once."""

    admin_url: str
    password: str

    def url(self, database: str) -> str:
        """Give the superuser's address of a database."""
        return urlsplit(self.admin_url)._replace(path=f"/{database}").geturl()

    def worker_url(self, database: str) -> str:
        """Give the worker login's address of a database."""
        place = urlsplit(self.url(database))
        host = place.netloc.rpartition("@")[2]
        netloc = f"{LOGIN}:{quote(self.password, safe='')}@{host}"
        return place._replace(netloc=netloc).geturl()

    @asynccontextmanager
    async def database(self, name: str) -> AsyncIterator[str]:
        """Make a migrated database that exists as long as the block; gives its name."""
        async with connected(self.url("postgres")) as admin:
            await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{BASE}"')
        try:
            yield name
        finally:
            async with connected(self.url("postgres")) as admin:
                await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Connect for as long as the block lasts."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def scratch_server(migrations: Path = MIGRATIONS) -> AsyncIterator[Scratch]:
    """Start a server that keeps its promises about power cuts, on loopback; gone at the end."""
    folder = _folder()
    try:
        server = await local_postgres.start(folder / "pgdata", durable=True)
        made = Scratch(server.url("postgres"), secrets.token_urlsafe(12))
        async with connected(made.admin_url) as admin:
            await admin.execute(f'CREATE DATABASE "{BASE}"')
        await migrate(made.url(BASE), migrations)
        async with connected(made.admin_url) as admin:
            await admin.execute(
                f"CREATE ROLE {LOGIN} LOGIN PASSWORD '{made.password}' IN ROLE juggernaut_worker"
            )
        yield made
    finally:
        await local_postgres.stop(folder / "pgdata")
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _folder() -> Path:
    """Make a folder that the unprivileged user of PostgreSQL can enter."""
    folder = Path(tempfile.mkdtemp(prefix="juggernaut-bench-"))
    folder.chmod(0o711)
    return folder
