"""What a session may claim follows grants, its worker's word and its worker's newest start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID, uuid4

import asyncpg
import pytest

from juggernaut.domain.model import Claim, Session
from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm, command_completion, open_swarm

FORGED = """
UPDATE governance_tasks SET status = 'in_progress', ready = false, fence = fence + 1,
       attempts = attempts + 1, lease_hash = '\\x00', lease_login = 'somebody', session_id = $2,
       lease_until = now() + interval '1 hour', assigned_worker = 'w1'{more} WHERE id = $1
"""
WAITS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
TRIES = 500
MANY = 400  # 0.95 ^ 400: once in 800 million runs
EVENTS = """
SELECT kind, login, before, after FROM juggernaut.events WHERE subject = $1 ORDER BY seq
"""


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


async def types_of(swarm: Swarm, session: Session) -> set[str]:
    """Claim all that the session may, and give the types."""
    claims: Sequence[Claim] = await swarm.store.claim(session, 50)
    for claim in claims:
        assert await swarm.store.release(claim.lease, "only looked")
    return {claim.task.task_type for claim in claims}


async def test_a_grant_counts_from_the_next_claim(swarm: Swarm) -> None:
    """Given and taken away while the session is open, for lanes that exist and for new ones."""
    session = await swarm.worker(kind="scribe")
    await swarm.add(task_type="report")
    assert await types_of(swarm, session) == set()
    for kind in ("report", "code"):
        await swarm.operator.fetchval("SELECT grant_capability('scribe', $1)", kind)
    await swarm.add(task_type="code")
    assert await types_of(swarm, session) == {"report", "code"}
    await swarm.operator.fetchval("SELECT revoke_capability('scribe', 'report')")
    assert await types_of(swarm, session) == {"code"}


async def test_what_the_registry_says_a_worker_can_do_counts(swarm: Swarm) -> None:
    """Also when it is corrected while the session is open; what is no list of texts is nothing."""
    session = await swarm.worker(handles=("command", "test"))
    for kind in ("command", "test"):
        await swarm.add(task_type=kind)
    assert await types_of(swarm, session) == {"command", "test"}
    for said, can in (
        ('["test", 7, null]', {"test"}),
        ('{"command": 1}', set()),
        ('["command"]', {"command"}),
    ):
        await swarm.operator.execute(
            "UPDATE worker_registry SET capabilities = $1::text::jsonb WHERE worker_id = 'w1'", said
        )
        assert await types_of(swarm, session) == can, said


@pytest.mark.parametrize(
    "gone",
    [
        "DELETE FROM worker_registry WHERE worker_id = 'w1'",
        "UPDATE worker_registry SET worker_id = 'w2' WHERE worker_id = 'w1'",
        "TRUNCATE juggernaut.grants",
    ],
)
async def test_what_an_operator_takes_away_whole_is_claimed_no_more(
    swarm: Swarm, gone: str
) -> None:
    """The worker's row, its name, or every grant at once; and the law has nothing to report."""
    session = await swarm.worker()
    await swarm.add()
    assert await types_of(swarm, session) == {"command"}
    await swarm.operator.execute(gone)
    assert await types_of(swarm, session) == set()
    assert await swarm.operator.fetch("SELECT * FROM law_violations") == []


async def test_an_earlier_start_of_a_worker_claims_nothing(swarm: Swarm) -> None:
    """The newest start of a name has its tasks; the one before it is open, and idle for good."""
    before = await swarm.worker()
    await swarm.add()
    now = await swarm.worker()
    assert await types_of(swarm, before) == set()
    assert await types_of(swarm, now) == {"command"}


async def test_a_new_start_and_a_heartbeat_wait_for_each_other(
    swarm: Swarm, database: Database
) -> None:
    """Both take the session before the registry, so neither is thrown out as a deadlock."""
    before = await swarm.worker()
    beat = await database.connect()
    held = beat.transaction()
    await held.start()
    await beat.execute("UPDATE juggernaut.sessions SET beat_at = now() WHERE id = $1", before.id)
    start = asyncio.create_task(swarm.worker())
    for _ in range(TRIES):
        if start.done() or await swarm.operator.fetchval(WAITS):
            break
        await asyncio.sleep(0.01)
    await beat.execute("UPDATE worker_registry SET status = 'busy' WHERE worker_id = 'w1'")
    await held.commit()
    assert (await start).id != before.id


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (", created_by = 'mallory'", "never change"),
        (", description = repeat('x', 100001)", "description has 100001 characters"),
        (", evidence_id = 1, description = 'x'", None),
    ],
)
async def test_the_shape_of_a_claim_excuses_nothing_else(
    swarm: Swarm, more: str, says: str | None
) -> None:
    """Even the owner's statement goes through the guard when it names what the guard looks at."""
    task, session = await swarm.add(), await swarm.worker()
    await swarm.operator.execute(FORGED.format(more=""), await swarm.add(), session.id)
    with pytest.raises(asyncpg.PostgresError, match=says):
        await swarm.operator.execute(FORGED.format(more=more), task, session.id)
    assert await swarm.status(task) == "pending"


@pytest.mark.parametrize("together", [1, 3])
async def test_each_claim_and_completion_is_told_once(
    swarm: Swarm, worker_login: Login, together: int
) -> None:
    """By the login, with what was and what is, alone and in a batch."""
    for _ in range(together):
        await swarm.add()
    claims = await swarm.store.claim(await swarm.worker(), together)
    done = [swarm.store.complete(claim.lease, command_completion()) for claim in claims]
    # The first is under way alone while the others gather.
    assert all(await asyncio.gather(*done))
    for claim in claims:
        rows = await swarm.operator.fetch(EVENTS, str(claim.task.id))
        assert [row["kind"] for row in rows] == [
            *("task.created", "task.in_progress", "task.completed")
        ]
        assert {row["login"] for row in rows[1:]} == {worker_login.name}
        for row, was, now in ((rows[1], "pending", "in_progress"), (rows[2], "in_progress", "")):
            assert f'"status": "{was}"' in row["before"]
            assert f'"status": "{now or "completed"}"' in row["after"]
            assert '"worker": "w1"' in row["after"]


async def test_a_task_that_is_ready_again_wakes_who_sleeps(
    swarm: Swarm, database: Database
) -> None:
    """Given back, or moved to another lane; what changes nothing for a claim says nothing."""
    ear = await database.connect()
    heard: list[str] = []
    await ear.add_listener("juggernaut_work", lambda *said: heard.append(str(said[-1])))
    session = await swarm.worker()
    task = await swarm.add()
    claim = await swarm.claim_one(session)
    await swarm.store.idle(session, True)

    async def said() -> list[str]:
        """Give what was heard since."""
        await ear.fetchval("SELECT 1")
        words = list(heard)
        heard.clear()
        return words

    assert await swarm.store.release(claim.lease, "another may")
    assert await said() == ["command"]
    await swarm.operator.execute(
        "UPDATE governance_tasks SET priority = 'high' WHERE id = $1", task
    )
    assert await said() == ["command"]
    await swarm.operator.execute(
        "UPDATE governance_tasks SET description = 'more' WHERE id = $1", task
    )
    assert await said() == []


async def test_full_hands_end_the_request_for_a_hint(swarm: Swarm) -> None:
    """A claim that was filled takes it back; one that found fewer leaves it."""
    session = await swarm.worker()
    for hands, waits in ((2, True), (1, False)):
        await swarm.add()
        await swarm.store.idle(session, True)
        assert len(await swarm.store.claim(session, hands)) == 1
        assert waits == await swarm.operator.fetchval(
            "SELECT waiting FROM juggernaut.sessions WHERE id = $1", session.id
        )


async def test_what_became_due_is_taken_by_whoever_finds_nothing_else(swarm: Swarm) -> None:
    """A task waits a moment for its second attempt: one claim makes it ready and takes it."""
    session = await swarm.worker()
    task: UUID = await swarm.add()
    claim = await swarm.claim_one(session)
    assert await swarm.store.fail(claim.lease, "slow", "try again", retry_after=0.05) == "pending"
    await asyncio.sleep(0.1)
    (again,) = await swarm.store.claim(session, 10)
    assert again.task.id == task


async def test_what_became_due_is_not_forgotten_while_there_is_always_more(swarm: Swarm) -> None:
    """One claim in twenty looks for it; no claim gives more than it was asked for."""
    session = await swarm.worker()
    task = await swarm.add(priority="low")
    claim = await swarm.claim_one(session)
    assert await swarm.store.fail(claim.lease, "slow", "try again", retry_after=0.01) == "pending"
    await asyncio.sleep(0.05)
    for _ in range(MANY):
        await swarm.add(priority="critical")
        (found,) = await swarm.store.claim(session, 1)
        assert found.task.id != task
        if await swarm.operator.fetchval("SELECT ready FROM governance_tasks WHERE id = $1", task):
            return
    pytest.fail(f"{MANY} claims, and none looked for what became due")


async def test_a_session_of_nobody_claims_nothing(swarm: Swarm) -> None:
    """A made-up secret of a real session is refused before anything is looked at."""
    session = await swarm.worker()
    await swarm.add()
    with pytest.raises(asyncpg.PostgresError, match="this session is over"):
        await swarm.pool.fetch("SELECT * FROM juggernaut.claim_v1($1, $2, 1)", session.id, uuid4())


@pytest.mark.parametrize(
    ("trigger", "change", "says"),
    [
        ("lanes DISABLE TRIGGER fill_lane", "juggernaut.lanes SET granted = '{x}'", "a lane says"),
        ("lanes DISABLE TRIGGER fill_lane", "juggernaut.lanes SET risk_floor = 'x'", "a lane says"),
        ("sessions DISABLE TRIGGER USER", "juggernaut.sessions SET handles = '{x}'", "a session"),
    ],
)
async def test_a_copy_that_says_otherwise_is_a_violation(
    swarm: Swarm, trigger: str, change: str, says: str
) -> None:
    """What a claim goes by is compared with where it comes from."""
    await swarm.worker()
    await swarm.add()
    assert await swarm.operator.fetch("SELECT law FROM law_violations") == []
    await swarm.operator.execute(f"ALTER TABLE juggernaut.{trigger}")
    await swarm.operator.execute(f"UPDATE {change}")
    (found,) = await swarm.operator.fetch("SELECT law FROM law_violations")
    assert found["law"].startswith(says)
