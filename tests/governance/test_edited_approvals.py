"""What an approval is worth: the text that was read, and not for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.errors import LawRefused
from juggernaut.domain.model import Claim, Risk, Session
from tests.fixtures_postgres import Database, Login
from tests.governance.plain_sql import NAME, PlainWorker
from tests.store.swarm import GATE, Swarm, command_completion, open_swarm, plan

EDIT = "UPDATE governance_tasks SET title = 'something else' WHERE id = $1"
AGE = "UPDATE juggernaut.thresholds SET value = $1 WHERE name = 'approval_seconds'"
HOUR = 3600
BACK_DATE = f"""
UPDATE public.approvals SET decided_at = decided_at - interval '{2 * HOUR} seconds'
"""
MERGE = "SELECT juggernaut.effect_intend_v1($1, $2, $3, 'merge', 'm', '{\"expected\": \"x\"}')"


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


@pytest.fixture
async def approver(database: Database, approver_login: Login) -> asyncpg.Connection[asyncpg.Record]:
    """The connection of a person who approves."""
    return await database.connect(approver_login)


async def approved(
    swarm: Swarm, approver: asyncpg.Connection[asyncpg.Record]
) -> tuple[Session, UUID]:
    """A high task whose plan a person approved, and the session of a worker."""
    task = await swarm.add(risk_level="high")
    session = await swarm.worker()
    claim = await swarm.claim_one(session)
    await swarm.store.pass_gate(claim.lease, GATE, plan(risk=Risk.HIGH))
    await approver.execute("SELECT approve_task($1)", task)
    return session, task


async def refused(
    swarm: Swarm, worker: asyncpg.Connection[asyncpg.Record], claim: Claim
) -> list[str]:
    """Try to merge and to complete without passing the gate; gives the refusals."""
    said = []
    lease = claim.lease
    try:
        await worker.execute(MERGE, lease.task_id, lease.fence, lease.secret)
    except asyncpg.PostgresError as error:
        said.append(str(error))
    try:
        await swarm.store.complete(lease, command_completion())
    except LawRefused as error:
        said.append(str(error))
    return said


async def test_an_old_approval_opens_neither_merge_nor_end(
    swarm: Swarm,
    database: Database,
    worker_login: Login,
    approver: asyncpg.Connection[asyncpg.Record],
) -> None:
    """A worker that never comes to the gate is asked for an approval of this time, too."""
    await swarm.operator.execute(AGE, HOUR)
    session, task = await approved(swarm, approver)
    await swarm.operator.execute(BACK_DATE)
    claim = await swarm.claim_one(session)
    said = await refused(swarm, await database.connect(worker_login), claim)
    assert ["cannot merge" in said[0], "cannot be completed" in said[1]] == [True, True]
    decision = await swarm.store.pass_gate(claim.lease, GATE, plan(risk=Risk.HIGH))
    assert decision is not None
    assert not decision.go
    await approver.execute("SELECT approve_task($1)", task)
    assert await swarm.store.complete((await swarm.claim_one(session)).lease, command_completion())


async def test_an_approval_that_grows_old_during_the_work_still_counts(
    swarm: Swarm, approver: asyncpg.Connection[asyncpg.Record]
) -> None:
    """What began with a good approval may end: an attempt has its own bound."""
    await swarm.operator.execute(AGE, HOUR)
    session, _ = await approved(swarm, approver)
    claim = await swarm.claim_one(session)
    await swarm.operator.execute(BACK_DATE)
    await swarm.operator.execute(
        "UPDATE juggernaut.attempts SET started_at = started_at - $1 * interval '1 second'",
        2 * HOUR,
    )
    assert await swarm.store.complete(claim.lease, command_completion())


@pytest.mark.parametrize("who", ["approver", "operator"])
async def test_an_edit_of_approved_work_in_progress_asks_again(
    swarm: Swarm, approver: asyncpg.Connection[asyncpg.Record], who: str
) -> None:
    """The attempt that works on the old text is over, uncounted; who edited cannot approve."""
    session, task = await approved(swarm, approver)
    claim = await swarm.claim_one(session)
    await (approver if who == "approver" else swarm.operator).execute(EDIT, task)
    assert await swarm.status(task) == "pending"
    assert not await swarm.store.still_held(claim.lease)
    assert not await swarm.store.complete(claim.lease, command_completion())
    again = await swarm.claim_one(session)
    assert (again.task.title, again.task.attempts) == ("something else", 1)
    with pytest.raises(LawRefused, match="neither plan nor diff was approved"):
        await swarm.store.complete(again.lease, command_completion())
    decision = await swarm.store.pass_gate(again.lease, GATE, plan(risk=Risk.HIGH))
    assert decision is not None
    assert not decision.go
    if who == "approver":
        with pytest.raises(asyncpg.PostgresError, match="changed task"):
            await approver.execute("SELECT approve_task($1)", task)
    else:
        await approver.execute("SELECT approve_task($1)", task)
    assert not await swarm.operator.fetch("SELECT * FROM law_violations")


async def test_an_edit_takes_approved_work_from_a_plain_worker(
    swarm: Swarm, plain: PlainWorker, approver: asyncpg.Connection[asyncpg.Record]
) -> None:
    """It cannot complete, and cannot claim again, before what it says now is approved."""
    task = await swarm.add(risk_level="high")
    await plain.connection.execute("SELECT request_approval($1, $2, 'please')", task, NAME)
    await approver.execute("SELECT approve_task($1)", task)
    await plain.claim(task)
    await approver.execute(EDIT, task)
    with pytest.raises(asyncpg.PostgresError, match="from pending to completed"):
        await plain.complete(task, "ran the whole of what it says, and the exit code was 0")
    with pytest.raises(asyncpg.PostgresError, match="what was approved is not what it says now"):
        await plain.claim(task)
    row = await swarm.operator.fetchrow(
        "SELECT approved_by, approved_at FROM governance_tasks WHERE id = $1", task
    )
    assert row is not None
    assert tuple(row) == (None, None)


async def test_an_approval_by_an_editor_breaks_the_law(
    swarm: Swarm, approver: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Made behind the back of the triggers, it is named."""
    session, task = await approved(swarm, approver)
    await swarm.claim_one(session)
    assert not await swarm.operator.fetch("SELECT * FROM law_violations")
    await swarm.operator.execute(
        "INSERT INTO juggernaut.editors (task_id, login)"
        " SELECT $1, decided_by FROM juggernaut.decision_log",
        task,
    )
    laws = await swarm.operator.fetch("SELECT law, task_id FROM law_violations")
    assert [tuple(row) for row in laws] == [("approved by somebody who changed it", task)]
