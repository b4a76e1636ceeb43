"""Completions that go together: each caller hears of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest

from juggernaut.domain.errors import LawRefused
from juggernaut.domain.model import Completion, Evidence
from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm, command_completion, open_swarm


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


async def test_a_bad_completion_harms_no_other(swarm: Swarm) -> None:
    """Refused evidence, a lost lease and an unmet criterion beside good ones, sent at once."""
    for number in range(6):
        await swarm.add(title=f"task {number}", acceptance_criteria="works" if number else None)
    claims = await swarm.store.claim(await swarm.worker(), 6)
    empty = Completion(Evidence("command", {}), (), "nothing")
    bare, *judged = sorted(claims, key=lambda claim: len(claim.task.criteria))
    results = await asyncio.gather(
        swarm.store.complete(bare.lease, command_completion()),
        swarm.store.complete(judged[0].lease, command_completion(1)),
        swarm.store.complete(judged[1].lease, empty),
        swarm.store.complete(replace(judged[2].lease, secret=uuid4()), command_completion(1)),
        swarm.store.complete(judged[3].lease, command_completion()),
        swarm.store.complete(judged[4].lease, command_completion(1)),
        return_exceptions=True,
    )
    assert [results[0], results[1], results[3], results[5]] == [True, True, False, True]
    assert isinstance(results[2], LawRefused)
    assert "evidence" in str(results[2])
    assert isinstance(results[4], LawRefused)
    assert "criterion 1" in str(results[4])
    done = await swarm.operator.fetch("SELECT id FROM governance_tasks WHERE status = 'completed'")
    assert {row["id"] for row in done} == {bare.task.id, judged[0].task.id, judged[4].task.id}
    events = await swarm.operator.fetchval(
        "SELECT count(*) FROM juggernaut.events WHERE kind = 'task.completed'"
    )
    assert events == len(done)


async def test_needs_that_end_together_free_their_dependant_once(swarm: Swarm) -> None:
    """Two needs in one batch: the counter falls by two and the task is ready."""
    needs = [await swarm.add(title="first"), await swarm.add(title="second")]
    after = await swarm.add(title="after", depends_on=needs)
    session = await swarm.worker()
    claims = await swarm.store.claim(session, 5)
    assert len(claims) == len(needs)
    landed = await asyncio.gather(
        *(swarm.store.complete(claim.lease, command_completion()) for claim in claims)
    )
    assert landed == [True, True]
    assert (await swarm.claim_one(session)).task.id == after


async def test_a_repeat_beside_the_first_says_the_same(swarm: Swarm) -> None:
    """The same completion twice at once lands once and is confirmed twice."""
    await swarm.add()
    await swarm.add()
    one, two = await swarm.store.claim(await swarm.worker(), 2)
    landed = await asyncio.gather(
        *(swarm.store.complete(claim.lease, command_completion()) for claim in (one, two, one))
    )
    assert landed == [True, True, True]


async def test_a_caller_that_went_away_takes_nobody_with_it(swarm: Swarm) -> None:
    """Cancelling one waiting completion leaves the others."""
    for _ in range(3):
        await swarm.add()
    claims = await swarm.store.claim(await swarm.worker(), 3)
    sent = [
        asyncio.create_task(swarm.store.complete(claim.lease, command_completion()))
        for claim in claims
    ]
    await asyncio.sleep(0)
    sent[1].cancel()
    results = await asyncio.gather(*sent, return_exceptions=True)
    assert [results[0], results[2]] == [True, True]
