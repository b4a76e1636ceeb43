"""The watchdog's look is bounded: in alerts of a kind, and in the time that laws are looked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm, open_swarm

BLOCKED = 5
MOST = 2
OF_A_KIND = "SELECT subject, title FROM alerts WHERE resolved_at IS NULL AND kind = $1"
# What no guard would let pass.
BROKEN = """
ALTER TABLE governance_tasks DISABLE TRIGGER ALL;
UPDATE governance_tasks SET attempts = 1 WHERE title = 'broken';
"""
LOOKED = """
UPDATE juggernaut.looks SET began_at = now() - $1::text::interval, took = $2::text::interval
"""


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


async def detected(swarm: Swarm, kind: str) -> list[tuple[str, str]]:
    """Look once; gives subjects and titles of the open alerts of a kind."""
    await swarm.pool.execute("SELECT juggernaut.detect_v1()")
    return [(row[0], row[1]) for row in await swarm.operator.fetch(OF_A_KIND, kind)]


async def test_of_a_kind_so_many_are_raised(swarm: Swarm) -> None:
    """The oldest, and one that counts the others; all end when there is nothing more."""
    await swarm.operator.execute(
        "UPDATE juggernaut.thresholds SET value = $1 WHERE name = 'alerts_of_a_kind'", MOST
    )
    session = await swarm.worker()
    tasks = [await swarm.add(title=f"b{number}") for number in range(BLOCKED)]
    for _ in tasks:
        claim = await swarm.claim_one(session)
        assert await swarm.store.block(claim.lease, "no key", "an operator")
    for _ in range(2):
        found = dict(await detected(swarm, "task_blocked"))
        assert set(found) == {*(f"{task}" for task in tasks[:MOST]), "more"}
        assert found["more"] == f"and {BLOCKED - MOST} more of this kind"
    for task in tasks[:MOST]:
        await swarm.operator.execute("SELECT cancel_task($1, 'enough')", task)
    found = dict(await detected(swarm, "task_blocked"))
    assert set(found) == {*(f"{task}" for task in tasks[MOST : 2 * MOST]), "more"}
    for task in tasks[MOST:]:
        await swarm.operator.execute("SELECT cancel_task($1, 'enough')", task)
    assert await detected(swarm, "task_blocked") == []


async def test_laws_are_looked_for_a_share_of_the_time(swarm: Swarm) -> None:
    """After a look of one minute the next comes after twenty; an alert stays until then."""
    await swarm.add(title="broken")
    assert await detected(swarm, "law_violation") == []
    await swarm.operator.execute(BROKEN)
    await swarm.operator.execute(LOOKED, "19 minutes", "1 minute")
    assert await detected(swarm, "law_violation") == []
    await swarm.operator.execute(LOOKED, "21 minutes", "1 minute")
    ((_, title),) = await detected(swarm, "law_violation")
    assert title == "attempts without a fence"
    await swarm.operator.execute("UPDATE governance_tasks SET attempts = 0")
    await swarm.operator.execute(LOOKED, "19 minutes", "1 minute")
    assert len(await detected(swarm, "law_violation")) == 1, "nobody looked"
    await swarm.operator.execute(LOOKED, "21 minutes", "1 minute")
    assert await detected(swarm, "law_violation") == []


async def test_a_look_in_the_future_holds_nothing_back(swarm: Swarm) -> None:
    """A server whose clock was set back looks again."""
    await swarm.add(title="broken")
    await detected(swarm, "law_violation")
    await swarm.operator.execute(BROKEN)
    await swarm.operator.execute(LOOKED, "-1 day", "1 minute")
    assert len(await detected(swarm, "law_violation")) == 1


async def test_failures_without_words_are_counted(swarm: Swarm) -> None:
    """A worker that gives neither code nor message stops nobody's alerts."""
    await swarm.operator.execute(
        "UPDATE juggernaut.thresholds SET value = 1 WHERE name = 'repeated_errors'"
    )
    session = await swarm.worker()
    await swarm.add(max_attempts=2)
    claim = await swarm.claim_one(session)
    lease = claim.lease
    await swarm.pool.execute(
        "SELECT juggernaut.fail_v1($1, $2, $3, NULL, NULL, 0)",
        *(lease.task_id, lease.fence, lease.secret),
    )
    ((_, title),) = await detected(swarm, "repeated_error")
    assert title.startswith("1 times: failed:")


async def test_a_kind_that_cannot_be_looked_for_stops_no_other(swarm: Swarm) -> None:
    """It is an alert itself, its old alerts stay, and it ends when that works again."""
    session = await swarm.worker()
    await swarm.add()
    claim = await swarm.claim_one(session)
    assert await swarm.store.block(claim.lease, "no key", "an operator")
    assert len(await detected(swarm, "task_blocked")) == 1
    share = "UPDATE juggernaut.thresholds SET value = $1 WHERE name = 'stale_seconds'"
    stale = await swarm.operator.fetchval(
        "SELECT value FROM juggernaut.thresholds WHERE name = 'stale_seconds'"
    )
    await swarm.operator.execute(share, 1e300)
    ((subject, _),) = await detected(swarm, "detect_error")
    assert subject == "worker_stale"
    assert len(await detected(swarm, "task_blocked")) == 1
    await swarm.operator.execute(share, stale)
    assert await detected(swarm, "detect_error") == []


async def test_who_holds_an_alert_holds_nobody(
    swarm: Swarm, database: Database, approver_login: Login
) -> None:
    """Its answer is not seen before it is committed; the look goes by."""
    session = await swarm.worker()
    task = await swarm.add()
    claim = await swarm.claim_one(session)
    assert await swarm.store.block(claim.lease, "no key", "an operator")
    assert len(await detected(swarm, "task_blocked")) == 1
    approver = await database.connect(approver_login)
    async with approver.transaction():
        await approver.execute("SELECT resolve_alert(id, 'seen') FROM open_alerts")
        async with asyncio.timeout(5):
            await detected(swarm, "task_blocked")
            await swarm.operator.execute("SELECT cancel_task($1, 'enough')", task)
            await detected(swarm, "task_blocked")
    assert await detected(swarm, "task_blocked") == []
