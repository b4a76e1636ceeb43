"""E1: `completed` without evidence of the same fence cannot exist, whoever writes it.

66 statements by each of 5 logins (worker, rival, approver, reader, operator), on tasks of every
open state; then the constraints alone, with the guard switched off and as a replica.
Default and full are the same: the table is exhaustive.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import pytest

from tests.invariants.scene import Connection, Scene, refusal
from tests.store.swarm import GATE, command_completion, plan

SHAPES = (
    "UPDATE governance_tasks SET status = 'completed' WHERE id = '{id}'",
    "UPDATE governance_tasks SET status = 'completed', completed_at = now() WHERE id = '{id}'",
    "UPDATE governance_tasks SET status = 'completed', completed_at = now(),"
    " completion_evidence = 'Done' WHERE id = '{id}'",
    "UPDATE governance_tasks SET status = 'completed', completion_evidence = NULL"
    " WHERE id = '{id}'",
    "UPDATE governance_tasks SET status = 'completed', completion_evidence = repeat(' ', 500)"
    " WHERE id = '{id}'",
    "UPDATE governance_tasks SET status = 'completed', completed_at = now(),"
    " evidence_id = (SELECT max(id) FROM juggernaut.evidence) WHERE id = '{id}'",
    "UPDATE governance_tasks SET status = 'completed', completed_at = now(), fence = fence + 1,"
    " lease_login = NULL WHERE id = '{id}'",
    "UPDATE governance_tasks SET status = 'completed', completed_at = now(), lease_login = NULL,"
    " evidence_id = (SELECT max(id) FROM juggernaut.evidence) WHERE id = '{id}'",
    "WITH x AS (UPDATE governance_tasks SET status = 'completed', completed_at = now()"
    " WHERE id = '{id}' RETURNING 1) INSERT INTO alerts (kind, subject, severity, title)"
    " SELECT 'x', 'x', 'info', 'x' FROM x",
    "MERGE INTO governance_tasks t USING (SELECT 1) s ON t.id = '{id}'"
    " WHEN MATCHED THEN UPDATE SET status = 'completed', completed_at = now()",
)
ONCE = (
    "INSERT INTO governance_tasks (title, task_type, status) VALUES ('t', 'command', 'completed')",
    "INSERT INTO governance_tasks (title, task_type, status, evidence_id, completed_at)"
    " VALUES ('t', 'command', 'completed', 1, now())",
    "INSERT INTO governance_tasks (id, title, task_type, status) VALUES ('{id}', 't', 'command',"
    " 'pending') ON CONFLICT (id) DO UPDATE SET status = 'completed', completed_at = now()",
    "UPDATE governance_tasks SET status = 'completed', completed_at = now()"
    " WHERE status <> 'completed'",
    "DO $$ BEGIN UPDATE governance_tasks SET status = 'completed', completed_at = now()"
    " WHERE id = '{id}'; END $$",
    "SELECT juggernaut.complete_v1('{id}', 1, NULL, 'command', '{{}}', '[]', 's', NULL, NULL)",
)
BY_RUN_TIME_LOGINS = (
    "INSERT INTO juggernaut.evidence (task_id, fence, kind, facts, source, recorded_by)"
    " VALUES ('{id}', 1, 'command', '{{}}', 'verifier', 'me')",
    "ALTER TABLE governance_tasks DROP CONSTRAINT completed_has_evidence",
    "ALTER TABLE governance_tasks DISABLE TRIGGER guard_update",
    "SET session_replication_role = replica",
    "SET ROLE juggernaut_owner",
)
BARE = "UPDATE governance_tasks SET status = 'completed', completed_at = now()"


async def make_tasks(scene: Scene) -> dict[str, UUID]:
    """Make a task in every open state, and one completed task whose evidence may be stolen."""
    made: dict[str, UUID] = {}
    worker = await scene.database.connect(scene.worker)
    await scene.raw_worker(worker, "raw")
    session = await scene.swarm.worker()
    for state in ("proven", "held", "waiting_approval", "blocked", "failed"):
        made[state] = await scene.swarm.add(title=state)
        (claim,) = await scene.swarm.store.claim(session, 1)
        if state == "proven":
            await scene.swarm.store.complete(claim.lease, command_completion())
        elif state == "waiting_approval":
            await scene.swarm.store.pass_gate(claim.lease, GATE, plan())
        elif state == "blocked":
            await scene.swarm.store.block(claim.lease, "why", "who")
        elif state == "failed":
            await scene.swarm.store.fail(claim.lease, "x", "y", retry_after=None)
    made["held raw"] = await scene.swarm.add(title="held raw", task_type="test")
    await scene.raw_claim(worker, made["held raw"], "raw")
    made["pending"] = await scene.swarm.add(title="pending")
    return made


def statements(tasks: dict[str, UUID], run_time: bool) -> list[str]:
    """Write every hostile statement for one login."""
    found = [
        shape.format(id=task)
        for name, task in tasks.items()
        if name != "proven"
        for shape in SHAPES
    ]
    once: Sequence[str] = (*ONCE, *(BY_RUN_TIME_LOGINS if run_time else ()))
    return found + [shape.format(id=tasks["pending"]) for shape in once]


async def completed(connection: Connection) -> int:
    """Count the completed tasks."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM governance_tasks WHERE status = 'completed'"
    )
    return found


async def check_every_login(scene: Scene) -> None:
    """Nobody reaches `completed` by a statement of their own."""
    tasks = await make_tasks(scene)
    logins = {
        **{"worker": scene.worker, "rival": scene.rival},
        **{"approver": scene.approver, "reader": scene.reader, "operator": None},
    }
    for name, login in logins.items():
        connection = await scene.database.connect(login)
        written = statements(tasks, run_time=login is not None)
        assert len(written) >= 60
        for statement in written:
            why = await try_for_good(connection, statement)
            assert await completed(scene.operator) == 1, f"{name}: {statement} ({why})"
            assert why is not None, f"{name}: nothing refused {statement}"
    assert await scene.violations() == []


async def try_for_good(connection: Connection, statement: str) -> str | None:
    """Try a statement and keep what it did; gives why it did nothing."""
    try:
        answer = await connection.execute(statement)
    except asyncpg.PostgresError as error:
        return f"{error.sqlstate} {error}"
    if answer in ("SELECT 1", "DO"):
        return "answered"
    return "changed no row" if answer.rpartition(" ")[2] == "0" else None


async def check_constraints_alone(scene: Scene) -> None:
    """With the guard off, as a replica, and with stolen evidence, the constraints still hold."""
    tasks = await make_tasks(scene)
    operator = scene.operator
    stolen = await operator.fetchval("SELECT max(id) FROM juggernaut.evidence")
    hollow = f"{BARE}, ready = false WHERE id = '{tasks['pending']}'"
    for setup in ("SET LOCAL session_replication_role = replica", "SELECT 1"):
        why = await refusal(operator, f"{setup}; {hollow}")
        assert why is not None, f"the guard let it pass after {setup}"
    await operator.execute("ALTER TABLE governance_tasks DISABLE TRIGGER USER")
    for setup in ("SET LOCAL session_replication_role = replica", "SELECT 1"):
        why = await refusal(operator, f"{setup}; {hollow}")
        assert why is not None, f"no CHECK after {setup}"
        assert "completed_has_evidence" in why
    why = await refusal(operator, hollow.replace(" WHERE", f", evidence_id = {stolen} WHERE"))
    assert why is not None, "evidence of another task was taken for this one's"
    assert "evidence_is_of_this_attempt" in why


async def test_no_login_reaches_completed(scene: Scene) -> None:
    """More than 60 statements by each login."""
    await check_every_login(scene)


async def test_constraints_hold_without_the_guard(scene: Scene) -> None:
    """CHECK under replica, CHECK without trigger, foreign key without trigger."""
    await check_constraints_alone(scene)


@pytest.mark.parametrize("fence", [0, 1, 2])
async def test_evidence_is_of_an_attempt(scene: Scene, fence: int) -> None:
    """Evidence without an attempt of that fence cannot exist, even for the operator."""
    task = await scene.swarm.add()
    why = await refusal(
        scene.operator,
        "INSERT INTO juggernaut.evidence (task_id, fence, kind, facts, source, recorded_by)"
        " VALUES ($1, $2, 'command', '{}', 'verifier', 'me')",
        task,
        fence,
    )
    assert why is not None
    assert why.startswith("23503")
