"""Workers as real processes for one test, and tasks as people insert them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from tests.app.cli_process import start
from tests.fixtures_postgres import Database, Login

POLL_SECONDS = 0.05
STOP_SECONDS = 30.0
ENDS = ("completed", "failed", "rejected", "cancelled", "blocked")


async def stopped(
    process: asyncio.subprocess.Process, reading: asyncio.Task[tuple[bytes, bytes]]
) -> str:
    """End a process, by force when it does not obey; gives all that it printed."""
    if process.returncode is None:
        process.terminate()
    await asyncio.wait({reading}, timeout=STOP_SECONDS)
    if process.returncode is None:
        process.kill()
    out, err = await reading
    return out.decode() + err.decode()


@dataclass(frozen=True, slots=True)
class Swarm:
    """A database with an operator, and a login for workers."""

    folder: Path
    database: Database
    worker_url: str
    operator: asyncpg.Connection[asyncpg.Record]

    @asynccontextmanager
    async def workers(self, kind: str, **settings: str) -> AsyncIterator[list[str]]:
        """Run a process with these roles; the list has what it printed, once it has ended."""
        printed: list[str] = []
        login = {"WORKER_DATABASE_URL": self.worker_url}
        process = await start(self.folder, "run", "--type", kind, **login, **settings)
        reading = asyncio.create_task(process.communicate())
        try:
            yield printed
        except AssertionError as error:
            error.add_note(f"the workers said: {await stopped(process, reading)!r}")
            raise
        finally:
            printed.append(await stopped(process, reading))

    async def add(self, task_type: str, title: str, **columns: object) -> UUID:
        """Insert a task that has one attempt."""
        row = {"task_type": task_type, "title": title, "max_attempts": 1, **columns}
        values = [json.dumps(v) if isinstance(v, dict | list) else v for v in row.values()]
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        task: UUID = await self.operator.fetchval(
            f"INSERT INTO governance_tasks ({', '.join(row)}) VALUES ({places}) RETURNING id",
            *values,
        )
        return task

    async def ended(
        self, tasks: Sequence[UUID], seconds: float, among: Sequence[str] = ENDS
    ) -> list[asyncpg.Record]:
        """Wait until every task is in one of the states; gives the rows in the order given."""
        end = time.monotonic() + seconds
        while True:
            rows = await self.operator.fetch(
                "SELECT t.* FROM unnest($1::uuid[]) WITH ORDINALITY wanted (id, place)"
                " JOIN governance_tasks t USING (id) ORDER BY place",
                tasks,
            )
            if all(row["status"] in among for row in rows):
                return rows
            if time.monotonic() > end:
                states = [(row["title"], row["status"], row["error_message"]) for row in rows]
                raise AssertionError(f"not all ended after {seconds:g} s: {states}")
            await asyncio.sleep(POLL_SECONDS)


@pytest.fixture
async def swarm(database: Database, worker_login: Login, tmp_path: Path) -> Swarm:
    """A swarm without workers yet."""
    url = database.url_for(worker_login.name, worker_login.password)
    return Swarm(tmp_path, database, url, await database.connect())
