"""Claims, leases and fences against a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest

from juggernaut.domain.errors import LawRefused, LeaseLost
from juggernaut.domain.model import LogEntry
from juggernaut.domain.states import TRANSITIONS, TaskStatus
from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm, command_completion, open_swarm


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


async def expire_sessions(swarm: Swarm) -> None:
    """Let the database believe that no worker has beaten for an hour; no pause follows."""
    await swarm.operator.execute(
        "UPDATE juggernaut.thresholds SET value = 0 WHERE name = 'expiry_base_seconds'"
    )
    await swarm.operator.execute(
        "UPDATE juggernaut.sessions SET expires_at = clock_timestamp() - interval '1 hour'"
    )


async def test_transition_table_is_the_same_in_python(swarm: Swarm) -> None:
    """One table, two places: they must be equal."""
    rows = await swarm.operator.fetch("SELECT old_status, new_status FROM juggernaut.transitions")
    in_database = {(TaskStatus(r["old_status"]), TaskStatus(r["new_status"])) for r in rows}
    assert in_database == TRANSITIONS


async def test_claim_respects_priority_grants_and_assignment(swarm: Swarm) -> None:
    """The most urgent granted task comes first; foreign types and assignments never."""
    await swarm.add(title="research", task_type="research", priority="critical")
    await swarm.add(title="other", assigned_worker="w2", priority="critical")
    low = await swarm.add(title="low", priority="deferred")
    high = await swarm.add(title="high", priority="high")
    mine = await swarm.add(title="mine", priority="critical", assigned_worker="executor")
    session = await swarm.worker()
    got = [claim.task.id for claim in await swarm.store.claim(session, 10)]
    assert got == [mine, high, low]


async def test_many_claimers_never_share_a_task(swarm: Swarm) -> None:
    """Eight claimers over 120 tasks: each task once, none left."""
    await swarm.operator.execute(
        "INSERT INTO governance_tasks (title, task_type)"
        " SELECT 'task ' || n, 'command' FROM generate_series(1, 120) n"
    )
    sessions = [await swarm.worker(f"w{n}") for n in range(8)]

    async def drain(n: int) -> list[object]:
        """Claim and complete until nothing is left."""
        mine: list[object] = []
        while claims := await swarm.store.claim(sessions[n], 3):
            for claim in claims:
                mine.append(claim.task.id)
                assert await swarm.store.complete(claim.lease, command_completion())
        return mine

    done = [task for part in await asyncio.gather(*map(drain, range(8))) for task in part]
    assert len(done) == 120
    assert len(set(done)) == 120
    assert not await swarm.operator.fetch("SELECT * FROM law_violations")


async def test_a_lease_is_needed_for_every_write(swarm: Swarm) -> None:
    """Wrong fence or wrong secret: nothing lands."""
    task = await swarm.add()
    claim = await swarm.claim_one(await swarm.worker())
    good = claim.lease
    for bad in (replace(good, fence=good.fence + 1), replace(good, secret=uuid4())):
        assert not await swarm.store.complete(bad, command_completion())
        assert await swarm.store.fail(bad, "x", "y", retry_after=None) is None
        assert not await swarm.store.log(bad, LogEntry("a", "b"))
        assert not await swarm.store.release(bad, "r")
        assert not await swarm.store.block(bad, "r", "o")
        assert not await swarm.store.still_held(bad)
        assert await swarm.store.intend(bad, "push", "k", {}) is None
        with pytest.raises(LeaseLost):
            await swarm.store.save_report(bad, "t", "b", {})
    assert await swarm.status(task) == "in_progress"
    assert await swarm.store.complete(good, command_completion())
    assert await swarm.store.complete(good, command_completion()), "a repeat says the same again"


async def test_late_worker_is_fenced_off(swarm: Swarm) -> None:
    """A paused worker's completion after its session died changes nothing."""
    task = await swarm.add()
    first = await swarm.claim_one(await swarm.worker("w1"))
    await expire_sessions(swarm)
    counts = await swarm.store.sweep()
    assert counts["expired"] == 1
    assert await swarm.status(task) == "pending"
    assert not await swarm.store.complete(first.lease, command_completion())
    second = await swarm.claim_one(await swarm.worker("w2"))
    assert second.lease.fence == first.lease.fence + 1
    assert not await swarm.store.complete(first.lease, command_completion())
    assert await swarm.store.complete(second.lease, command_completion())


async def test_expiry_counts_as_an_attempt_and_ends(swarm: Swarm) -> None:
    """A task whose workers die is given up after max_attempts, with an alert."""
    task = await swarm.add(max_attempts=2)
    for n in range(2):
        await swarm.claim_one(await swarm.worker(f"w{n}"))
        await expire_sessions(swarm)
        await swarm.store.sweep()
    assert await swarm.status(task) == "failed"
    alert = await swarm.operator.fetchrow("SELECT * FROM open_alerts WHERE kind = 'task_failed'")
    assert alert is not None


async def test_release_burns_no_attempt(swarm: Swarm) -> None:
    """A released task comes back at once with its attempts as before."""
    await swarm.add(max_attempts=1)
    session = await swarm.worker()
    claim = await swarm.claim_one(session)
    assert await swarm.store.release(claim.lease, "stopping")
    again = await swarm.claim_one(session)
    assert again.task.attempts == 1


async def test_retry_waits_and_then_fails_for_good(swarm: Swarm) -> None:
    """A retry is put off; the last one ends in failed with the reason."""
    task = await swarm.add(max_attempts=2)
    session = await swarm.worker()
    first = await swarm.claim_one(session)
    assert await swarm.store.fail(first.lease, "x", "broke", retry_after=3600) == "pending"
    assert await swarm.store.claim(session, 1) == ()
    await swarm.operator.execute(
        "UPDATE governance_tasks SET run_after = clock_timestamp() WHERE id = $1", task
    )
    second = await swarm.claim_one(session)
    assert second.task.error_message == "broke"
    assert await swarm.store.fail(second.lease, "x", "broke", retry_after=1) == "failed"
    assert await swarm.operator.fetchval("SELECT retry_task($1)", task) == "pending"


async def test_dependencies_release_and_block(swarm: Swarm) -> None:
    """A dependant waits, starts when its need is done, and is blocked when it failed."""
    need = await swarm.add(title="need")
    child = await swarm.add(title="child", depends_on=[need])
    grandchild = await swarm.add(title="grandchild", depends_on=[child])
    session = await swarm.worker()
    assert await swarm.status(child) == "waiting"
    claim = await swarm.claim_one(session)
    assert claim.task.id == need
    await swarm.store.complete(claim.lease, command_completion())
    claim = await swarm.claim_one(session)
    assert claim.task.id == child
    await swarm.store.fail(claim.lease, "x", "no", retry_after=None)
    assert await swarm.status(grandchild) == "blocked"
    reason = await swarm.operator.fetchval("SELECT reason FROM why($1)", grandchild)
    assert str(child) in reason
    await swarm.operator.execute("SELECT retry_task($1)", child)
    assert await swarm.status(grandchild) == "waiting"


async def test_concurrency_key_holds(swarm: Swarm) -> None:
    """Of two tasks with one concurrency_key only one is in progress at a time."""
    await swarm.add(concurrency_key="repo")
    await swarm.add(concurrency_key="repo")
    one, two = await swarm.worker("w1"), await swarm.worker("w2")
    got = await asyncio.gather(swarm.store.claim(one, 5), swarm.store.claim(two, 5))
    assert sum(len(part) for part in got) == 1
    assert await swarm.store.claim(one, 5) == ()


async def test_cancel_takes_the_lease_away(swarm: Swarm) -> None:
    """A person cancels a running task: the attempt holds nothing any more."""
    task = await swarm.add()
    claim = await swarm.claim_one(await swarm.worker())
    assert await swarm.operator.fetchval("SELECT cancel_task($1, 'enough')", task) == "cancelled"
    assert not await swarm.store.still_held(claim.lease)
    assert not await swarm.store.complete(claim.lease, command_completion())


async def test_pause_stops_claims_and_says_why(swarm: Swarm) -> None:
    """A paused swarm claims nothing; why() names who paused it."""
    task = await swarm.add()
    session = await swarm.worker()
    await swarm.operator.execute("SELECT pause_swarm('all', 'lunch')")
    assert await swarm.store.claim(session, 1) == ()
    assert "lunch" in await swarm.operator.fetchval("SELECT reason FROM why($1)", task)
    await swarm.operator.execute("SELECT resume_swarm('all')")
    assert len(await swarm.store.claim(session, 1)) == 1


async def test_a_session_of_another_login_cannot_claim(
    swarm: Swarm, database: Database, worker_login: Login
) -> None:
    """A guessed session id is not enough: the secret is checked."""
    await swarm.add()
    session = await swarm.worker()
    with pytest.raises(LeaseLost):
        await swarm.store.claim(replace(session, secret=uuid4()), 1)


async def test_bad_rows_are_refused_with_a_reason(swarm: Swarm) -> None:
    """Unknown type, priority, criteria, need: the message names the value."""
    for columns, word in (
        ({"task_type": "dance"}, "dance"),
        ({"priority": "asap"}, "asap"),
        ({"acceptance_criteria": '[{"check": 3}]'}, "criterion 1"),
        ({"depends_on": [uuid4()]}, "does not exist"),
        ({"status": "completed"}, "completed"),
        ({"title": "  "}, "title"),
    ):
        with pytest.raises(asyncpg.PostgresError, match=word):
            await swarm.add(**columns)


async def test_criteria_are_parsed_from_lines_and_json(swarm: Swarm) -> None:
    """Bullets, check lists, JSON texts and objects all become criteria."""
    await swarm.add(acceptance_criteria="- one\n* two\n\n3. three\n[ ] four")
    await swarm.add(
        acceptance_criteria='["plain", {"text": "checked", "check": ["true"]},'
        ' {"text": "shell", "check": "a && b"}]'
    )
    one, two = [claim.task for claim in await swarm.store.claim(await swarm.worker(), 5)]
    assert [c.text for c in one.criteria] == ["one", "two", "three", "four"]
    assert [c.check for c in two.criteria] == [None, ("true",), ("sh", "-c", "a && b")]


async def test_unmet_or_missing_verdicts_stop_completion(swarm: Swarm) -> None:
    """Each criterion needs its own verdict; a person may accept one that no command proves."""
    task = await swarm.add(acceptance_criteria="one\ntwo")
    claim = await swarm.claim_one(await swarm.worker())
    with pytest.raises(LawRefused, match="criterion 2 is unknown"):
        await swarm.store.complete(claim.lease, command_completion(1))
    await swarm.operator.execute("SELECT accept_criterion($1, 2, 'looked at it')", task)
    assert await swarm.store.complete(claim.lease, command_completion(1))
    proof = await swarm.operator.fetchval("SELECT verdicts::text FROM proof")
    assert "person" in proof


async def test_evidence_contract_is_checked(swarm: Swarm) -> None:
    """Evidence with missing or malformed facts is refused, naming them."""
    await swarm.add()
    claim = await swarm.claim_one(await swarm.worker())
    good = command_completion()
    bad = replace(good, evidence=replace(good.evidence, facts={"command": ["true"]}))
    with pytest.raises(LawRefused, match="exit_code, output_digest"):
        await swarm.store.complete(claim.lease, bad)
