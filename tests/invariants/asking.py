"""Gates in the tests of the approvals: ask, approve, try a gate and undo it."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from juggernaut.domain.digest import digest_of
from juggernaut.domain.model import Claim, Digest, Gate, Plan, Risk
from tests.fixtures_postgres import Login
from tests.invariants.scene import Connection, Scene, refusal

BODY: dict[str, object] = {"task": "t", "commands": [["make", "deploy"]], "risk": "high"}
PLAIN = "UPDATE governance_tasks SET status = 'pending', approved_by = 'me' WHERE id = $1"
PASS = "SELECT go FROM juggernaut.pass_gate_v1($1, $2, $3, $4, $5, $6::text::jsonb, $7, '{test}')"


def plan_of(body: dict[str, object], risk: Risk = Risk.HIGH) -> Plan:
    """A plan whose digest is that of its bytes."""
    return Plan(body, digest_of(body), risk, ("test",))


async def ask(scene: Scene, risk: Risk = Risk.HIGH, body: dict[str, object] | None = None) -> UUID:
    """A task that waits for the approval of a plan."""
    claim = await scene.claimed(risk_level=risk.value)
    decision = await scene.swarm.store.pass_gate(
        claim.lease, Gate.PLAN, plan_of(BODY if body is None else body, risk)
    )
    assert decision is not None
    assert not decision.go, "a risky plan went without an approval"
    return claim.task.id


async def gate(
    connection: Connection,
    claim: Claim,
    text: str,
    digest: Digest,
    which: str = "plan",
    risk: str = "high",
) -> bool:
    """Try a gate with these bytes under this digest and undo it; says whether it opened."""
    transaction = connection.transaction()
    await transaction.start()
    lease = claim.lease
    try:
        answer = await connection.fetchval(
            PASS, lease.task_id, lease.fence, lease.secret, which, digest, text, risk
        )
    except asyncpg.PostgresError:
        answer = False
    finally:
        await transaction.rollback()
    return bool(answer)


async def approved(scene: Scene, risk: Risk = Risk.HIGH) -> Claim:
    """A claim of a task whose plan BODY people approved."""
    task = await ask(scene, risk)
    approver = await scene.database.connect(scene.approver)
    await approver.execute("SELECT approve_task($1)", task)
    if risk is Risk.CRITICAL:
        async with second(scene) as other:
            await other.execute("SELECT approve_task($1)", task)
    claim = await scene.swarm.claim_one(await scene.swarm.worker("w2"))
    assert claim.task.id == task
    return claim


@asynccontextmanager
async def second(scene: Scene) -> AsyncIterator[Connection]:
    """The connection of a second approver, who stays one until the scene ends."""
    login = Login(f"test_{secrets.token_hex(6)}", "juggernaut_approver", secrets.token_hex(8))
    await scene.operator.execute(
        f'CREATE ROLE "{login.name}" LOGIN PASSWORD \'{login.password}\' IN ROLE "{login.group}"'
    )
    scene.ending.push_async_callback(scene.operator.execute, f'DROP ROLE "{login.name}"')
    connection = await asyncpg.connect(scene.database.url_for(login.name, login.password))
    try:
        yield connection
    finally:
        await connection.close()


async def refused(connection: Connection, statement: str, *values: object) -> None:
    """Assert that a statement is refused or changes nothing."""
    why = await refusal(connection, statement, *values)
    assert why is not None, f"nothing refused {statement} {json.dumps(values, default=str)}"


async def raw_asked(scene: Scene, connection: Connection, risk: str = "high") -> UUID:
    """A task that a plain-SQL worker asked for before it claimed it."""
    await scene.raw_worker(connection, "raw")
    task = await scene.swarm.add(risk_level=risk, task_type="test")
    await connection.execute("SELECT request_approval($1, 'raw', 'it looks risky')", task)
    return task


async def status(scene: Scene, task: UUID) -> str:
    """Read a status."""
    return await scene.swarm.status(task)
