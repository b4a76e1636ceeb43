"""A policy holds for what is open already, and for medium work at its end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from juggernaut.adapters.postgres import queries, records
from juggernaut.domain.errors import JuggernautError, LawRefused
from juggernaut.domain.model import Risk
from tests.fixtures_postgres import Database, Login
from tests.governance.plain_sql import PlainWorker
from tests.store.swarm import GATE, Swarm, command_completion, open_swarm, plan

UNAPPROVED = "neither plan nor diff was approved"


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


async def apply(
    swarm: Swarm, floors: dict[str, str], approvers: dict[str, int] | None = None
) -> None:
    """Apply a policy of these floors and approvers."""
    body = json.dumps({"floors": floors, "approvers": approvers or {}})
    statement = "SELECT apply_policy('1', repeat('a', 64), $1::text::jsonb)"
    await swarm.operator.execute(statement, body)


async def risk(swarm: Swarm, task: object) -> str:
    """Read a task's risk."""
    found: str = await swarm.operator.fetchval(
        "SELECT risk_level FROM governance_tasks WHERE id = $1", task
    )
    return found


async def test_medium_work_does_not_end_unapproved_where_the_policy_wants_approvers(
    swarm: Swarm, database: Database, approver_login: Login
) -> None:
    """By neither way to complete it; with an approval it ends."""
    await apply(swarm, {}, {"medium": 1})
    task = await swarm.add()
    session = await swarm.worker()
    claim = await swarm.claim_one(session)
    with pytest.raises(LawRefused, match=UNAPPROVED):
        await swarm.store.complete(claim.lease, command_completion())
    with pytest.raises(JuggernautError, match=UNAPPROVED):
        items = [records.completion_json(claim.lease, command_completion())]
        await queries.fetch(swarm.pool, "complete_batch", items)
    await swarm.store.pass_gate(claim.lease, GATE, plan(risk=Risk.MEDIUM))
    approver = await database.connect(approver_login)
    await approver.execute("SELECT approve_task($1)", task)
    again = await swarm.claim_one(session)
    assert await swarm.store.complete(again.lease, command_completion())


async def test_a_raised_floor_raises_what_is_open(swarm: Swarm, plain: PlainWorker) -> None:
    """Waiting, failed or worked on, with an event; never what is at its end, and never down."""
    for _ in range(3):
        await swarm.add()
    claims = {claim.task.id: claim for claim in await swarm.store.claim(await swarm.worker(), 3)}
    done, failed, held = claims
    assert await swarm.store.complete(claims[done].lease, command_completion())
    await swarm.store.fail(claims[failed].lease, "c", "no", retry_after=None)
    fresh, other = await swarm.add(), await swarm.add(task_type="test")
    await apply(swarm, {"command": "critical"})
    found = {task: await risk(swarm, task) for task in (done, failed, held, fresh, other)}
    assert found == {
        **{done: "medium", other: "low"},
        **dict.fromkeys((failed, held, fresh), "critical"),
    }
    events = await swarm.operator.fetch(
        "SELECT subject FROM juggernaut.events WHERE kind = 'governance_tasks.update'"
        " AND before ->> 'risk_level' = 'medium' AND after ->> 'risk_level' = 'critical'"
    )
    assert {row[0] for row in events} == {str(task) for task in (failed, held, fresh)}
    with pytest.raises(LawRefused, match=UNAPPROVED):
        await swarm.store.complete(claims[held].lease, command_completion())
    with pytest.raises(asyncpg.PostgresError, match="needs an approval"):
        await plain.claim(fresh)
    await apply(swarm, {"command": "medium"})
    assert await risk(swarm, fresh) == "critical"


async def test_a_floor_counts_for_a_row_that_slipped_in_below_it(
    swarm: Swarm, database: Database, plain: PlainWorker
) -> None:
    """A task that was being inserted while the floor rose is held to it all the same."""
    await swarm.add()  # its lane exists: an insert waits for nobody
    slow = await database.connect()
    async with slow.transaction():
        task = await slow.fetchval(
            "INSERT INTO governance_tasks (title, task_type) VALUES ('t', 'command') RETURNING id"
        )
        await apply(swarm, {"command": "critical"})
    assert await risk(swarm, task) == "medium"
    with pytest.raises(asyncpg.PostgresError, match="needs an approval"):
        await plain.claim(task)


async def test_another_type_brings_its_floor(swarm: Swarm) -> None:
    """Up, and not down again."""
    task = await swarm.add(task_type="test")
    retype = "UPDATE governance_tasks SET task_type = $2 WHERE id = $1"
    await swarm.operator.execute(retype, task, "command")
    assert await risk(swarm, task) == "medium"
    await swarm.operator.execute(retype, task, "test")
    assert await risk(swarm, task) == "medium"
