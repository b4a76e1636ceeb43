"""A worker in no language at all: the statements of the worker instructions, one a method."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg

NAME = "PSQL"


@dataclass(frozen=True, slots=True)
class PlainWorker:
    """One connection of a worker login, registered as PSQL of type executor."""

    connection: asyncpg.Connection[asyncpg.Record]

    async def register(self) -> None:
        """Register or beat."""
        await self.connection.execute(
            "INSERT INTO worker_registry (worker_id, worker_type, status, capabilities,"
            " last_heartbeat) VALUES ($1, 'executor', 'active', '[\"code\"]', NOW())"
            " ON CONFLICT (worker_id) DO UPDATE SET status = 'active', last_heartbeat = NOW()",
            NAME,
        )

    async def claim(self, task: UUID) -> None:
        """Claim a task; an error of the database comes out."""
        found = await self.connection.execute(
            "UPDATE governance_tasks SET status = 'in_progress', assigned_worker = $2,"
            " started_at = NOW() WHERE id = $1 AND status = 'pending'",
            task,
            NAME,
        )
        assert found == "UPDATE 1"

    async def complete(self, task: UUID, said: str) -> None:
        """Mark a task as complete, with this as evidence."""
        await self.connection.execute(
            "UPDATE governance_tasks SET status = 'completed', completed_at = NOW(),"
            " completion_evidence = $2 WHERE id = $1",
            task,
            said,
        )

    async def report_merge(self, task: UUID) -> None:
        """Claim a task and say that it was merged."""
        await self.claim(task)
        await self.complete(
            task, "Merged PR #1: https://forge.example.invalid/o/r/pull/1 - 12 tests passing"
        )
