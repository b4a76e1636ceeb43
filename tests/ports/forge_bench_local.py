"""The bench of the local forge: people act through the functions of the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from juggernaut.adapters.forges.local import LocalForge
from juggernaut.adapters.postgres.store_pulls import PgPulls
from juggernaut.domain.model import Sha
from tests.adapters.forges.repos import Origin, make_origin
from tests.fixtures_postgres import Database, Login, fresh_login
from tests.ports.forge_bench import Bench


@dataclass(frozen=True, slots=True)
class LocalPeople:
    """Two approvers and an operator at the database."""

    origin: Origin
    links: dict[str, asyncpg.Connection[asyncpg.Record]]
    operator: asyncpg.Connection[asyncpg.Record]
    ann: str
    bob: str

    async def comment(
        self, number: int, text: str, path: str = "", line: int | None = None
    ) -> None:
        """Let Ann say something below a pull request, or about a line of it."""
        query = "SELECT comment_pull($1, $2, $3, $4)"
        await self.links[self.ann].execute(query, number, text, path, line)

    async def review(self, number: int, verdict: str, text: str = "", login: str = "") -> int:
        """Review it."""
        query = "SELECT review_pull($1, $2, $3)"
        link = self.links[login or self.ann]
        return int(await link.fetchval(query, number, verdict.lower(), text))

    async def dismiss(self, number: int, review: int) -> None:
        """Take a review back: here that is a newer word of the same person."""
        await self.review(number, "dismissed")

    async def check(self, sha: Sha, name: str, passed: bool, log: str = "") -> None:
        """Let a CI job end at a commit."""
        query = "SELECT report_check($1, $2, $3, $4, $5)"
        await self.links[self.ann].execute(query, self.origin.name, sha, name, passed, log)

    async def require(self, checks: tuple[str, ...], approvals: int = 0) -> None:
        """Protect the default branch."""
        query = "SELECT protect_repository($1, $2, $3)"
        await self.operator.execute(query, self.origin.name, list(checks), approvals)

    async def close(self, number: int) -> None:
        """Let Ann close it without a merge."""
        await self.links[self.ann].execute("SELECT close_pull($1, $2)", number, "Not wanted.")


@asynccontextmanager
async def with_record(database: Database, worker: Login, folder: Path) -> AsyncIterator[Bench]:
    """Give the local forge, with the rights of a worker's login, and no people yet."""
    url = database.url_for(worker.name, worker.password)
    origin = make_origin(folder)
    async with asyncpg.create_pool(url, min_size=1, max_size=4) as pool:
        yield Bench(LocalForge(PgPulls(pool), folder / "root"), origin, origin.name)


@asynccontextmanager
async def with_people(database: Database, worker: Login, folder: Path) -> AsyncIterator[Bench]:
    """Give the local forge and people with logins of their own."""
    async with (
        with_record(database, worker, folder) as bench,
        fresh_login(database, "juggernaut_approver") as ann,
        fresh_login(database, "juggernaut_approver") as bob,
    ):
        links = {login.name: await database.connect(login) for login in (ann, bob)}
        operator = await database.connect()
        people = LocalPeople(bench.origin, links, operator, ann.name, bob.name)
        yield Bench(bench.forge, bench.origin, bench.repo, people)
