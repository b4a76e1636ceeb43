"""A small swarm for tests of the store: a worker's pool, the operator, and short cuts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.adapters.postgres.store import PgStore
from juggernaut.domain.model import (
    Claim,
    Completion,
    CriterionVerdict,
    Digest,
    Evidence,
    Gate,
    Learning,
    Plan,
    Risk,
    Session,
    Verdict,
    WorkerId,
)
from tests.fixtures_postgres import Database, Login

DIGEST = "a" * 64
TYPES = "SELECT task_type FROM juggernaut.task_types ORDER BY task_type"


@dataclass(frozen=True, slots=True)
class Swarm:
    """One worker's store and the operator's connection on one database."""

    store: PgStore
    operator: asyncpg.Connection[asyncpg.Record]
    pool: asyncpg.Pool[asyncpg.Record]

    async def add(self, **columns: object) -> UUID:
        """Insert a task as the operator."""
        values = {"title": "a task", "task_type": "command", **columns}
        names = ", ".join(values)
        marks = ", ".join(f"${n}" for n in range(1, len(values) + 1))
        statement = f"INSERT INTO governance_tasks ({names}) VALUES ({marks}) RETURNING id"
        made: UUID = await self.operator.fetchval(statement, *values.values())
        return made

    async def status(self, task: UUID) -> str:
        """Read a task's status."""
        found: str = await self.operator.fetchval(
            "SELECT status FROM governance_tasks WHERE id = $1", task
        )
        return found

    async def worker(
        self, name: str = "w1", kind: str = "executor", handles: tuple[str, ...] = ()
    ) -> Session:
        """Register a worker; it handles every type unless the test says which."""
        handles = handles or tuple(row[0] for row in await self.pool.fetch(TYPES))
        meta = {"version": "test", "pid": 1}
        return await self.store.open_session(WorkerId(name), kind, handles, meta)

    async def claim_one(self, session: Session) -> Claim:
        """Claim exactly one task."""
        (claim,) = await self.store.claim(session, 1)
        return claim


@asynccontextmanager
async def open_swarm(database: Database, login: Login) -> AsyncIterator[Swarm]:
    """Open a swarm with a worker's own login."""
    async with open_pool(database.url_for(login.name, login.password), size=8) as pool:
        yield Swarm(PgStore(pool), await database.connect(), pool)


def command_completion(*numbers: int, learning: Learning | None = None) -> Completion:
    """What proves a command task with these criteria."""
    facts = {"command": ["true"], "exit_code": 0, "output_digest": "0" * 64}
    verdicts = tuple(CriterionVerdict(n, Verdict.MET, {"exit_code": 0}) for n in numbers)
    return Completion(Evidence("command", facts), verdicts, "ran true: exit code 0", learning)


def plan(digest: str = DIGEST, risk: Risk = Risk.LOW) -> Plan:
    """A plan as a gate takes it."""
    return Plan({"what": digest[:4]}, Digest(digest), risk, ("test",))


GATE = Gate.PLAN
