"""The SQL that the worker instructions print, run unchanged as a worker's login and a plain one.

Only the capitalised placeholders (TASK_ID, WORKER_ID, ...) are filled in.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from tests.fixtures_postgres import Database, Login

REGISTER = """
INSERT INTO worker_registry (worker_id, worker_type, status, capabilities, last_heartbeat)
VALUES ('EXECUTOR', 'executor', 'active', '["code", "test", "verification"]', NOW())
ON CONFLICT (worker_id) DO UPDATE SET
  status = 'active',
  last_heartbeat = NOW();
"""
HEARTBEAT = """
UPDATE worker_registry
SET last_heartbeat = NOW(),
    status = 'active',
    current_task_id = 'TASK_ID'
WHERE worker_id = 'WORKER_ID';
"""
FIND = """
SELECT id, title, description, task_type, priority, acceptance_criteria
FROM governance_tasks
WHERE status = 'pending'
  AND (assigned_worker IS NULL OR assigned_worker = 'WORKER_TYPE')
  AND task_type = ANY('{code,test,verification,research,documentation}')
ORDER BY
  CASE priority
    WHEN 'critical' THEN 1
    WHEN 'high' THEN 2
    WHEN 'medium' THEN 3
    WHEN 'low' THEN 4
  END,
  created_at
LIMIT 1
FOR UPDATE SKIP LOCKED;
"""
CLAIM = """
UPDATE governance_tasks
SET status = 'in_progress',
    assigned_worker = 'WORKER_ID',
    started_at = NOW()
WHERE id = 'TASK_ID'
  AND status = 'pending'
RETURNING id;
"""
LOG = """
INSERT INTO execution_logs (task_id, worker_id, action, level, message, metadata)
VALUES (
  'TASK_ID',
  'WORKER_ID',
  'task_start',
  'info',
  'Starting task: TASK_TITLE',
  '{"task_type": "code", "priority": "high"}'
);
"""
LOG_ERROR = """
INSERT INTO execution_logs (task_id, worker_id, action, level, message, error_data)
VALUES (
  'TASK_ID',
  'WORKER_ID',
  'task_error',
  'error',
  'Error description',
  '{"error_type": "GitHubAuthError", "details": "..."}'
);
"""
COMPLETE = """
UPDATE governance_tasks
SET status = 'completed',
    completed_at = NOW(),
    completion_evidence = 'EVIDENCE'
WHERE id = 'TASK_ID';
"""
FAIL = """
UPDATE governance_tasks
SET status = 'failed',
    completed_at = NOW(),
    error_message = 'Specific error description'
WHERE id = 'TASK_ID';
"""
ASK = """
UPDATE governance_tasks
SET status = 'waiting_approval',
    requires_approval = true,
    approval_reason = 'High-risk operation: production deployment'
WHERE id = 'TASK_ID';
"""
LEARN = """
INSERT INTO learnings (
  task_id, worker_id, category, title, description,
  impact_score, tags, created_at
) VALUES (
  'TASK_ID',
  'WORKER_ID',
  'technique',
  'Learning title',
  'What was learned and how it can be applied',
  0.8,
  '["github", "automation"]',
  NOW()
);
"""


@dataclass(frozen=True, slots=True)
class Psql:
    """A worker at psql, and the operator beside it."""

    worker: asyncpg.Connection[asyncpg.Record]
    operator: asyncpg.Connection[asyncpg.Record]

    async def add(self, task_type: str = "test") -> UUID:
        """Insert a task as the operator."""
        made: UUID = await self.operator.fetchval(
            "INSERT INTO governance_tasks (title, task_type) VALUES ('t', $1) RETURNING id",
            task_type,
        )
        return made

    async def run(self, statement: str, task: UUID, **more: str) -> str:
        """Run a printed statement with its placeholders filled in."""
        for name, value in {"TASK_ID": str(task), "WORKER_ID": "EXECUTOR", **more}.items():
            statement = statement.replace(name, value)
        result: str = await self.worker.execute(statement)
        return result

    async def claimed(self, task_type: str = "test") -> UUID:
        """Register, add and claim."""
        await self.worker.execute(REGISTER)
        task = await self.add(task_type)
        assert await self.run(CLAIM, task) == "UPDATE 1"
        return task

    async def status(self, task: UUID) -> str:
        """Read a status."""
        found: str = await self.operator.fetchval(
            "SELECT status FROM governance_tasks WHERE id = $1", task
        )
        return found


@pytest.fixture(params=["worker", "plain"])
async def psql(
    database: Database, worker_login: Login, plain_login: Login, request: pytest.FixtureRequest
) -> Psql:
    """A worker's connection and the operator's."""
    login = plain_login if request.param == "plain" else worker_login
    return Psql(await database.connect(login), await database.connect())


async def test_the_printed_life_of_a_task(psql: Psql) -> None:
    """Register, beat, find, claim, log, complete, learn: all as printed."""
    await psql.worker.execute(REGISTER)
    await psql.worker.execute(REGISTER)
    task = await psql.add()
    found = await psql.worker.fetchrow(FIND.replace("WORKER_TYPE", "executor"))
    assert found is not None
    assert found["id"] == task
    assert await psql.run(CLAIM, task) == "UPDATE 1"
    assert await psql.run(CLAIM, task) == "UPDATE 0", "a second claim finds nothing"
    await psql.run(HEARTBEAT, task)
    await psql.run(LOG, task)
    await psql.run(LOG_ERROR, task)
    evidence = "pytest -q ran at the head of main: 12 passed, 0 failed in 3.1 s"
    await psql.run(COMPLETE, task, EVIDENCE=evidence)
    assert await psql.status(task) == "completed"
    await psql.run(LEARN, task)
    source = await psql.operator.fetchval("SELECT source FROM proof WHERE task_id = $1", task)
    assert source == "self-reported"
    assert not await psql.operator.fetch("SELECT * FROM law_violations")


async def test_the_printed_failure_and_request(psql: Psql) -> None:
    """Mark failed and request approval, as printed."""
    await psql.run(FAIL, task := await psql.claimed())
    assert await psql.status(task) == "failed"
    await psql.run(ASK, task := await psql.claimed())
    assert await psql.status(task) == "waiting_approval"
    assert await psql.operator.fetchval("SELECT count(*) FROM pending_approvals") == 1


@pytest.mark.parametrize("said", ["Done", "Completed the task", "Fixed it", "", "x" * 400])
async def test_the_printed_bad_evidence_is_refused(psql: Psql, said: str) -> None:
    """The bad examples, nothing and long filler do not complete a task."""
    task = await psql.claimed()
    with pytest.raises(asyncpg.PostgresError, match="evidence"):
        await psql.run(COMPLETE, task, EVIDENCE=said)
    assert await psql.status(task) == "in_progress"


async def test_a_code_claim_parks_until_the_forge_confirms(psql: Psql) -> None:
    """A worker's word for a merge is a claim, not a completion."""
    task = await psql.claimed("code")
    evidence = "Merged PR #156: https://github.com/o/r/pull/156 - 12 unit tests passing"
    await psql.run(COMPLETE, task, EVIDENCE=evidence)
    assert await psql.status(task) == "awaiting_merge"


async def test_claims_outside_the_grants_are_refused(psql: Psql) -> None:
    """A type that is not granted is refused whatever the worker declared."""
    await psql.worker.execute(REGISTER)
    task = await psql.add("research")
    with pytest.raises(asyncpg.PostgresError, match="not granted"):
        await psql.run(CLAIM, task)


async def test_completing_what_one_does_not_hold_is_refused(psql: Psql) -> None:
    """Neither an unclaimed task nor one in a terminal state can be completed."""
    await psql.worker.execute(REGISTER)
    task = await psql.add()
    evidence = "12 passed, 0 failed, at the head of the main branch"
    with pytest.raises(asyncpg.PostgresError):
        await psql.run(COMPLETE, task, EVIDENCE=evidence)
    held = await psql.claimed()
    await psql.run(COMPLETE, held, EVIDENCE=evidence)
    with pytest.raises(asyncpg.PostgresError, match="final"):
        await psql.run(FAIL, held)


async def test_no_worker_beats_for_another(
    psql: Psql, database: Database, approver_login: Login
) -> None:
    """A heartbeat of another login's worker is refused, and time is the database's."""
    await psql.worker.execute(REGISTER)
    await psql.operator.execute(
        "UPDATE worker_registry SET login = 'somebody' WHERE worker_id = 'EXECUTOR'"
    )
    with pytest.raises(asyncpg.PostgresError, match="another login"):
        await psql.worker.execute(
            "UPDATE worker_registry SET last_heartbeat = NOW() WHERE worker_id = 'EXECUTOR'"
        )
