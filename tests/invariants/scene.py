"""The scene of the invariants: one database, one login of each kind, and what they may say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

import asyncpg

from juggernaut.domain.model import Claim, Lease
from tests.fixtures_postgres import Database, Login, fresh_login
from tests.store.swarm import Swarm, open_swarm

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

TABLES = (
    *("public.governance_tasks", "juggernaut.attempts", "juggernaut.evidence"),
    *("juggernaut.verdicts", "juggernaut.plans", "juggernaut.effects", "juggernaut.model_calls"),
    *("public.approvals", "public.learnings", "public.reports", "public.recommendations"),
    *("public.execution_logs", "public.budgets"),
)
LONG_AGO = "clock_timestamp() - interval '1 hour'"
PAUSE = "UPDATE juggernaut.thresholds SET value = $1 WHERE name = 'expiry_base_seconds'"


@dataclass(frozen=True, slots=True)
class Scene:
    """A swarm of one worker login, its rival, an approver and a reader."""

    swarm: Swarm
    database: Database
    worker: Login
    rival: Login
    approver: Login
    reader: Login
    ending: AsyncExitStack
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def operator(self) -> Connection:
        """The operator's connection."""
        return self.swarm.operator

    async def claimed(self, name: str = "w1", **columns: object) -> Claim:
        """Add a task and claim it with a daemon's session."""
        task = await self.swarm.add(**columns)
        claim = await self.swarm.claim_one(await self.swarm.worker(name))
        assert claim.task.id == task, "the scene holds another claimable task"
        return claim

    async def raw_worker(self, connection: Connection, name: str) -> None:
        """Register a worker as the worker instructions print it."""
        await connection.execute(
            "INSERT INTO worker_registry (worker_id, worker_type, status, last_heartbeat)"
            " VALUES ($1, 'executor', 'active', NOW())",
            name,
        )

    async def raw_claim(self, connection: Connection, task: UUID, name: str) -> None:
        """Claim a task as the worker instructions print it."""
        await connection.execute(
            "UPDATE governance_tasks SET status = 'in_progress', assigned_worker = $2,"
            " started_at = NOW() WHERE id = $1 AND status = 'pending'",
            task,
            name,
        )

    async def expire(self, lease: Lease | None = None) -> None:
        """Let the session behind a lease, or every session, be over; nothing is swept."""
        async with self.turn:  # the operator has one connection, and many may ask at once
            await self.operator.execute(
                f"UPDATE juggernaut.sessions SET expires_at = {LONG_AGO} WHERE $1::uuid IS NULL"
                " OR id = (SELECT session_id FROM governance_tasks WHERE id = $1)",
                lease and lease.task_id,
            )

    async def everything(self) -> dict[str, object]:
        """Give all that an attempt may have written, for a comparison."""
        parts = ", ".join(
            f"'{name}', (SELECT jsonb_agg(to_jsonb(t) ORDER BY to_jsonb(t)::text) FROM {name} t)"
            for name in TABLES
        )
        found: str = await self.operator.fetchval(f"SELECT jsonb_build_object({parts})::text")
        state: dict[str, object] = json.loads(found)
        return state

    async def violations(self) -> list[tuple[object, ...]]:
        """Give what breaks the law; it should be nothing."""
        rows = await self.operator.fetch("SELECT * FROM law_violations")
        return [tuple(row) for row in rows]


async def refusal(connection: Connection, statement: str, *values: object) -> str | None:
    """Try a statement and undo it; gives why it was refused, or None when it changed rows."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        answer = await connection.execute(statement, *values)
    except asyncpg.PostgresError as error:
        return f"{error.sqlstate} {error}"
    finally:
        await transaction.rollback()
    return "changed no row" if answer.rpartition(" ")[2] == "0" else None


def changed(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """Name the tables whose rows differ."""
    return [name for name in before if before[name] != after[name]]


@asynccontextmanager
async def open_scene(
    database: Database, worker: Login, rival_group: str = "juggernaut_worker"
) -> AsyncIterator[Scene]:
    """Open a scene on a migrated database."""
    async with AsyncExitStack() as stack:
        rival = await stack.enter_async_context(fresh_login(database, rival_group))
        approver = await stack.enter_async_context(fresh_login(database, "juggernaut_approver"))
        reader = await stack.enter_async_context(fresh_login(database, "juggernaut_reader"))
        swarm = await stack.enter_async_context(open_swarm(database, worker))
        await swarm.operator.execute(PAUSE, 0)  # only L6 is about how long an expired task waits
        yield Scene(swarm, database, worker, rival, approver, reader, stack)
