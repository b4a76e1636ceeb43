"""Every open task has a reason, an owner and a deadline; who is late is found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from tests.fixtures_postgres import Database, Login
from tests.governance.plain_sql import PlainWorker
from tests.store.swarm import GATE, Swarm, command_completion, open_swarm, plan

LACKING = """
SELECT t.title, w.* FROM governance_tasks t CROSS JOIN LATERAL why(t.id) w
 WHERE t.status NOT IN ('completed', 'failed', 'rejected', 'cancelled')
   AND (w.reason IS NULL OR w.owner IS NULL OR w.deadline IS NULL)
"""
LATE = "SELECT title FROM open_alerts WHERE kind = 'tasks_late'"
PAUSES = ("all", "type:command", "role:executor", "worker:w1")


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


async def said(swarm: Swarm, task: UUID) -> asyncpg.Record:
    """Give what why() says of a task; nothing of it is missing."""
    assert await swarm.operator.fetch(LACKING) == []
    row = await swarm.operator.fetchrow("SELECT * FROM why($1)", task)
    assert row is not None
    return row


async def detected(swarm: Swarm) -> list[str]:
    """Look for alerts once; gives what is said of late tasks."""
    await swarm.pool.execute("SELECT juggernaut.detect_v1()")
    return [row["title"] for row in await swarm.operator.fetch(LATE)]


async def test_every_open_state_has_all_three(swarm: Swarm, plain: PlainWorker) -> None:
    """Nobody is there, ready, held, approval, merge, needs, later, a key, a pause, blocked."""
    first = await swarm.add(concurrency_key="k")
    lonely = await swarm.add(task_type="report")
    assert (await said(swarm, lonely))["reason"].startswith("no live worker")
    session = await swarm.worker(handles=("command", "test"))
    assert (await said(swarm, first))["reason"] == "ready: waits for a free worker"
    second = await swarm.add(concurrency_key="k")
    (held,) = await swarm.store.claim(session, 1)
    other = second if held.task.id == first else first
    assert "in progress" in (await said(swarm, held.task.id))["reason"]
    assert "concurrency_key k" in (await said(swarm, other))["reason"]
    needy = await swarm.add(depends_on=[held.task.id])
    assert (await said(swarm, needy))["owner"] == "the tasks it needs"
    later = await swarm.add(run_after=datetime.now(UTC) + timedelta(hours=1))
    assert (await said(swarm, later))["reason"].startswith("not before")
    merged = await swarm.add(task_type="code")
    await plain.report_merge(merged)
    assert "has not confirmed" in (await said(swarm, merged))["reason"]
    await swarm.operator.execute("SELECT revoke_capability('strategist', 'strategy')")
    unwanted = await swarm.add(task_type="strategy")
    assert (await said(swarm, unwanted))["reason"] == "no role is granted task type strategy"
    for scope in PAUSES:
        await swarm.operator.execute("SELECT pause_swarm($1, 'lunch')", scope)
        await said(swarm, later)
        await swarm.operator.execute("SELECT resume_swarm($1)", scope)
    await swarm.store.block(held.lease, "a person has to look", "a person")
    assert (await said(swarm, held.task.id))["owner"] == "a person"


async def test_missing_approvals_are_counted(
    swarm: Swarm, approver_login: Login, database: Database
) -> None:
    """Two, and after the first of them another one."""
    task = await swarm.add(risk_level="critical")
    claim = await swarm.claim_one(await swarm.worker(handles=("command",)))
    await swarm.store.pass_gate(claim.lease, GATE, plan())
    assert (await said(swarm, task))["reason"].startswith("waits for 2 approval(s)")
    approver = await database.connect(approver_login)
    await approver.execute("SELECT approve_task($1)", task)
    assert (await said(swarm, task))["reason"].startswith("waits for another 1 approval(s)")


async def test_who_claims_by_itself_may_not_take_it_yet(
    swarm: Swarm, plain: PlainWorker, database: Database, approver_login: Login
) -> None:
    """Whatever it says that it can do: until a worker that plans is there, or an approval."""
    task = await swarm.add(task_type="code", risk_level="high")
    row = await said(swarm, task)
    assert "may not before it is approved" in row["reason"]
    with pytest.raises(asyncpg.PostgresError, match="needs an approval"):
        await plain.claim(task)
    await plain.connection.execute("SELECT request_approval($1, 'PSQL', 'please')", task)
    approver = await database.connect(approver_login)
    await approver.execute("SELECT approve_task($1)", task)
    assert (await said(swarm, task))["reason"] == "ready: waits for a free worker"
    await plain.claim(task)
    other = await swarm.add(task_type="code", risk_level="high")
    await swarm.worker(handles=("code",))
    assert (await said(swarm, other))["reason"] == "ready: waits for a free worker"


async def test_who_is_late_is_found(swarm: Swarm) -> None:
    """After `open_seconds`, or its own deadline; one alert, which goes when nobody is late."""
    deadline = datetime.now(UTC) - timedelta(seconds=1)
    first = await swarm.add(title="in time")
    await swarm.add(title="waits for it, which is looked at itself", depends_on=[first])
    assert await detected(swarm) == []
    task = await swarm.add(title="its own", deadline=deadline)
    assert (await said(swarm, task))["deadline"] == deadline
    (title,) = await detected(swarm)
    assert title.startswith('1 of the oldest open tasks are late; the first is "its own"')
    await swarm.operator.execute(
        "UPDATE juggernaut.thresholds SET value = 0 WHERE name = 'open_seconds'"
    )
    (title,) = await detected(swarm)
    assert title.startswith('2 of the oldest open tasks are late; the first is "its own"')
    await swarm.operator.execute("SELECT cancel_task(id, 'no') FROM governance_tasks")
    assert await detected(swarm) == []


async def test_an_old_task_is_late_from_when_it_could_be_taken(swarm: Swarm) -> None:
    """What it needed was done only now; before that nobody was late with it."""
    first = await swarm.add()
    old = await swarm.add(depends_on=[first], priority="low")
    claim = await swarm.claim_one(await swarm.worker(handles=("command",)))
    assert claim.task.id == first
    assert await swarm.store.complete(claim.lease, command_completion())
    allowed = await swarm.operator.fetchval(
        "SELECT juggernaut.late_at(jsonb_populate_record(t, $2)) - now() FROM governance_tasks t"
        " WHERE id = $1",
        *(old, '{"created_at": "2020-01-01"}'),
    )
    assert timedelta(hours=23, minutes=59) < allowed <= timedelta(hours=24, seconds=1)


async def test_what_was_not_read_is_not_approved(
    swarm: Swarm, database: Database, approver_login: Login
) -> None:
    """The statement names its digest: another request of the same task refuses it."""
    task = await swarm.add(risk_level="high")
    session = await swarm.worker(handles=("command",))
    claim = await swarm.claim_one(session)
    await swarm.store.pass_gate(claim.lease, GATE, plan())
    approver = await database.connect(approver_login)
    read = await approver.fetchval("SELECT approve_sql FROM pending_approvals")
    await swarm.operator.execute("SELECT send_back($1, 'say what for')", task)
    claim = await swarm.claim_one(session)
    await swarm.store.pass_gate(claim.lease, GATE, plan("b" * 64))
    with pytest.raises(asyncpg.PostgresError, match="the plan changed: its digest is"):
        await approver.execute(read)
    await approver.execute(await approver.fetchval("SELECT approve_sql FROM pending_approvals"))
    assert await swarm.status(task) == "pending"
