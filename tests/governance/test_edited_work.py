"""What is judged and accepted is the text as it stands when the work ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from juggernaut.adapters.postgres import queries, records
from juggernaut.domain.errors import LawRefused
from juggernaut.domain.model import Claim, Completion
from tests.fixtures_postgres import Database, Login
from tests.governance.plain_sql import PlainWorker
from tests.store.swarm import Swarm, command_completion, open_swarm

EDITS = {
    "title": "'x'",
    "description": "'delete it all'",
    "acceptance_criteria": "'all 500 integration tests pass'",
    "payload": '\'{"command": ["rm"]}\'',
    "repo": "'another'",
}
SAID = "ran the command make deploy with exit code 0 and all is well"


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


@pytest.fixture
async def approver(database: Database, approver_login: Login) -> asyncpg.Connection[asyncpg.Record]:
    """The connection of a person who edits."""
    return await database.connect(approver_login)


async def sent(swarm: Swarm, claim: Claim, completion: Completion) -> bool | None:
    """Complete by the function for many; gives its answer."""
    items = [records.completion_json(claim.lease, completion)]
    rows = await queries.fetch(swarm.pool, "complete_batch", items)
    landed: bool | None = rows[0]["landed"]
    return landed


async def accepted_by(swarm: Swarm, task: UUID) -> list[str | None]:
    """Read who accepted which criterion."""
    rows = await swarm.operator.fetch(
        "SELECT accepted_by FROM juggernaut.criteria WHERE task_id = $1 ORDER BY number", task
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize("column", sorted(EDITS))
async def test_an_edit_ends_the_attempt_on_the_old_text(
    swarm: Swarm, approver: asyncpg.Connection[asyncpg.Record], column: str
) -> None:
    """Whatever the words, approved or not: uncounted, and its verdicts judge nothing."""
    task = await swarm.add(acceptance_criteria="a file exists")
    session = await swarm.worker()
    claim = await swarm.claim_one(session)
    who = swarm.operator if column == "repo" else approver
    await who.execute(f"UPDATE governance_tasks SET {column} = {EDITS[column]} WHERE id = $1", task)
    assert not await swarm.store.still_held(claim.lease)
    assert not await swarm.store.complete(claim.lease, command_completion(1))
    assert await sent(swarm, claim, command_completion(1)) is None
    again = await swarm.claim_one(session)
    assert (again.task.id, again.task.attempts) == (task, 1)
    assert await swarm.store.complete(again.lease, command_completion(1))
    assert not await swarm.operator.fetch("SELECT * FROM law_violations")


async def test_what_is_no_edit_leaves_the_attempt_alone(
    swarm: Swarm, approver: asyncpg.Connection[asyncpg.Record]
) -> None:
    """The same words again, another priority: the work goes on."""
    task = await swarm.add()
    claim = await swarm.claim_one(await swarm.worker())
    await approver.execute(
        "UPDATE governance_tasks SET title = title, payload = payload, priority = 'high'"
        " WHERE id = $1",
        task,
    )
    assert await swarm.store.complete(claim.lease, command_completion())


async def test_an_edit_ends_the_attempt_of_a_plain_worker(
    swarm: Swarm, plain: PlainWorker, approver: asyncpg.Connection[asyncpg.Record]
) -> None:
    """It claims again, and completes what it read then."""
    task = await swarm.add()
    await swarm.operator.execute("UPDATE juggernaut.task_types SET risk_floor = 'low'")
    await plain.claim(task)
    await approver.execute("UPDATE governance_tasks SET title = 'x' WHERE id = $1", task)
    with pytest.raises(asyncpg.PostgresError, match="from pending to completed"):
        await plain.complete(task, SAID)
    await plain.claim(task)
    await plain.complete(task, SAID)
    assert await swarm.status(task) == "completed"


@pytest.mark.parametrize("many", [False, True])
async def test_a_completion_that_waits_for_an_edit_invents_no_verdict(
    swarm: Swarm, approver: asyncpg.Connection[asyncpg.Record], many: bool
) -> None:
    """Criteria that came while it waited for the lock were judged by nobody."""
    task = await swarm.add(acceptance_criteria="the old one")
    claim = await swarm.claim_one(await swarm.worker())
    async with approver.transaction():
        await approver.execute(
            r"UPDATE governance_tasks SET acceptance_criteria = E'new\na lawyer agreed'"
            " WHERE id = $1",
            task,
        )
        end = sent if many else _one
        job = asyncio.create_task(end(swarm, claim, command_completion(1)))
        await _until_it_waits(swarm)
    assert not await job
    assert await swarm.status(task) == "pending"
    assert not await swarm.operator.fetch("SELECT FROM juggernaut.verdicts")


async def test_a_batch_judges_by_the_criteria_after_its_wait(swarm: Swarm) -> None:
    """Also where the attempt goes on; what is in order lands all the same."""
    task = await swarm.add(acceptance_criteria="one")
    judged = await swarm.add(acceptance_criteria="one")
    plain = await swarm.add()
    claims = await swarm.store.claim(await swarm.worker(), 3)
    items = [records.completion_json(one.lease, command_completion(1)) for one in claims]
    async with swarm.operator.transaction():
        await swarm.operator.execute("SELECT FROM governance_tasks WHERE id = $1 FOR UPDATE", task)
        await swarm.operator.execute(
            "INSERT INTO juggernaut.criteria (task_id, number, text) VALUES ($1, 2, 'new')", task
        )
        job = asyncio.create_task(queries.fetch(swarm.pool, "complete_batch", items))
        await _until_it_waits(swarm)
    landed = {row["task"]: row["landed"] for row in await job}
    assert landed == {task: None, judged: True, plain: True}
    found = await swarm.operator.fetch("SELECT task_id, verdict, source FROM juggernaut.verdicts")
    assert [tuple(row) for row in found] == [(judged, "met", "verifier")]
    with pytest.raises(LawRefused, match="criterion 2 is unknown"):
        (claim,) = (one for one in claims if one.task.id == task)
        await swarm.store.complete(claim.lease, command_completion(1))


async def test_an_acceptance_is_of_the_words_that_were_read(
    swarm: Swarm, approver: asyncpg.Connection[asyncpg.Record]
) -> None:
    """An edit of any of them takes it back, and it counts for no other text."""
    task = await swarm.add(description="write a test", acceptance_criteria="a person read it")
    accept = "SELECT accept_criterion($1, 1, 'I looked', $2)"
    await approver.execute(accept, task, "a person read it")
    assert await accepted_by(swarm, task) != [None]
    await swarm.operator.execute(
        "UPDATE governance_tasks SET description = 'delete data' WHERE id = $1", task
    )
    assert await accepted_by(swarm, task) == [None]
    claim = await swarm.claim_one(await swarm.worker())
    with pytest.raises(LawRefused, match="criterion 1 is unknown"):
        await swarm.store.complete(claim.lease, command_completion())
    await swarm.operator.execute(
        "UPDATE governance_tasks SET acceptance_criteria = 'data was deleted' WHERE id = $1", task
    )
    with pytest.raises(asyncpg.PostgresError, match="something else now: data was deleted"):
        await approver.execute(accept, task, "a person read it")
    assert await accepted_by(swarm, task) == [None]
    await approver.execute("SELECT accept_criterion($1, 1, 'I looked')", task)
    assert await accepted_by(swarm, task) != [None]


async def _one(swarm: Swarm, claim: Claim, completion: Completion) -> bool | None:
    """Complete by the function for one."""
    return await swarm.store.complete(claim.lease, completion)


async def _until_it_waits(swarm: Swarm) -> None:
    """Wait until somebody waits for a row; asked outside of a transaction, which keeps its view."""
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    for _ in range(500):
        if await swarm.pool.fetch(waiting):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")
