"""What a worker's login may write is bounded: how much, how late, how often, and in whose name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import perf_counter
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.errors import LawRefused
from juggernaut.domain.limits import RETRY_CAP_SECONDS
from juggernaut.domain.model import Claim, Session, WorkerId
from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm, open_swarm

REPO = "acme/app"
DAY_SECONDS = 86_400
FREE = 20
PATTERNS_SECONDS = 5.0
CODE = "SELECT error_code FROM juggernaut.attempts WHERE task_id = $1 ORDER BY fence DESC LIMIT 1"
ROW = "SELECT status, attempts, error_message, run_after FROM governance_tasks WHERE id = $1"
DELAY = "SELECT extract(epoch FROM run_after - now())::float8 FROM governance_tasks WHERE id = $1"


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


async def code(swarm: Swarm, name: str, **columns: object) -> Claim:
    """A code task, claimed by a worker of its own."""
    await swarm.add(task_type="code", **columns)
    return await swarm.claim_one(await swarm.worker(name))


async def row_of(swarm: Swarm, task: UUID) -> asyncpg.Record:
    """Read what an end changes in a task."""
    (row,) = await swarm.operator.fetch(ROW, task)
    return row


async def test_a_footprint_is_of_the_own_repository(swarm: Swarm) -> None:
    """What a task names counts; where it names none, only who merges speaks of the default."""
    other = await code(swarm, "w1", repo=REPO)
    await swarm.add(task_type="command")
    command = await swarm.claim_one(await swarm.worker("w2"))
    for lease, repo in ((other.lease, "victim/repo"), (command.lease, REPO)):
        for ask in (swarm.store.note_files, swarm.store.begin_files):
            with pytest.raises(LawRefused, match=f"not about '{repo}'"):
                await ask(lease, repo, ["**"])
        with pytest.raises(LawRefused, match=f"not about '{repo}'"):
            await swarm.store.take_turn(lease, repo)
    assert await swarm.store.note_files(other.lease, REPO, ["a.py"])
    default = await code(swarm, "w3")
    assert await swarm.store.note_files(default.lease, "the/default", ["a.py"])
    assert await swarm.store.take_turn(default.lease, "the/default")


async def test_a_path_has_a_bound(swarm: Swarm) -> None:
    """The length of each and the number of all."""
    claim = await code(swarm, "w1", repo=REPO)
    for ask in (swarm.store.note_files, swarm.store.begin_files):
        with pytest.raises(LawRefused, match="a path has 4097 characters"):
            await ask(claim.lease, REPO, ["x" * 4097])
    assert await swarm.store.note_files(claim.lease, REPO, [f"{n}.py" for n in range(300)])
    kept = await swarm.operator.fetchval("SELECT cardinality(actual) FROM juggernaut.footprints")
    assert kept == 200


@pytest.mark.parametrize(
    ("path", "pattern", "meet"),
    [
        ("src/app.py", "src/*.py", True),
        ("src/app.py", "src/?*.js", False),
        ("docs/a.md", "src/" + "?*a" * 1300, False),
        ("src/app.py", "?*a" * 30_000, True),
        ("src/app.py", "src/" + "*a" * 30 + ".js", True),
        ("src/app.py", "src/*" + "a" * 500, True),
        ("src/app.py", "src/*" + "a" * 300, False),
    ],
)
async def test_a_pattern_that_is_too_much_meets(
    swarm: Swarm, path: str, pattern: str, meet: bool
) -> None:
    """In doubt yes, both ways round; a beginning that differs is no doubt."""
    for pair in ((path, pattern), (pattern, path)):
        assert meet == await swarm.operator.fetchval("SELECT juggernaut.paths_meet($1, $2)", *pair)


async def test_what_no_expression_can_be_made_of_meets(swarm: Swarm) -> None:
    """Whatever the reason: nobody's start fails because of somebody else's pattern."""
    await swarm.operator.execute(
        "CREATE OR REPLACE FUNCTION juggernaut.path_pattern(p_path text) RETURNS text"
        " LANGUAGE sql IMMUTABLE AS $$ SELECT '(' $$"
    )
    assert await swarm.operator.fetchval("SELECT juggernaut.paths_meet('a.py', '*.py')")


async def test_a_crowd_of_patterns_costs_little(swarm: Swarm) -> None:
    """The dearest footprint that may be written makes nobody wait long."""
    first = await code(swarm, "w1", repo=REPO)
    await swarm.store.note_files(first.lease, REPO, [f"{n}{'?*a' * 9}" for n in range(200)])
    second = await code(swarm, "w2", repo=REPO)
    began = perf_counter()
    decision = await swarm.store.begin_files(second.lease, REPO, [f"{n}bbbb" for n in range(200)])
    assert decision is not None
    assert decision.go
    assert perf_counter() - began < PATTERNS_SECONDS


async def test_the_words_of_a_failure_are_cut(swarm: Swarm) -> None:
    """Its code has 64 signs, where it is kept and where it is told."""
    task = await swarm.add(max_attempts=1)
    claim = await swarm.claim_one(await swarm.worker())
    assert await swarm.store.fail(claim.lease, "c" * 100_000, "m", retry_after=None) == "failed"
    assert await swarm.operator.fetchval(CODE, task) == "c" * 64
    assert (await row_of(swarm, task))["error_message"] == "c" * 64 + ": m"
    told = await swarm.operator.fetchval("SELECT length(details ->> 'code') FROM alerts")
    assert told == 64


@pytest.mark.parametrize(("asked", "most"), [(1e9, DAY_SECONDS), (RETRY_CAP_SECONDS, 3600.0)])
async def test_a_retry_waits_at_most_a_day(swarm: Swarm, asked: float, most: float) -> None:
    """A longer pause is cut, the worker's own longest is not."""
    task = await swarm.add()
    claim = await swarm.claim_one(await swarm.worker())
    assert await swarm.store.fail(claim.lease, "x", "later", retry_after=asked) == "pending"
    assert await swarm.operator.fetchval(DELAY, task) == pytest.approx(most, abs=60)


async def give_back(swarm: Swarm, session: Session, times: int) -> None:
    """Claim a task and give it back, again and again."""
    for _ in range(times):
        claim = await swarm.claim_one(session)
        assert await swarm.store.release(claim.lease, "stopped")


async def test_giving_back_without_end_has_an_end(swarm: Swarm) -> None:
    """Free at first, then an attempt each time, and the last one ends the task with a reason."""
    task = await swarm.add(max_attempts=2)
    session = await swarm.worker()
    await give_back(swarm, session, FREE)
    assert (await row_of(swarm, task))["attempts"] == 0
    await give_back(swarm, session, 1)
    assert (await row_of(swarm, task))["attempts"] == 1
    await give_back(swarm, session, 1)
    row = await row_of(swarm, task)
    assert (row["status"], row["attempts"]) == ("failed", 2)
    assert row["error_message"] == "released: given back too often: stopped"
    await swarm.operator.execute("SELECT retry_task($1)", task)
    await swarm.operator.execute(
        "UPDATE juggernaut.attempts SET ended_at = ended_at - interval '2 days'"
    )
    await give_back(swarm, session, 1)
    assert (await row_of(swarm, task))["attempts"] == 0, "yesterday does not count"


async def test_what_waited_for_others_was_not_given_back(swarm: Swarm) -> None:
    """Being put off for files, forge or models has bounds of its own."""
    await swarm.add()
    session = await swarm.worker()
    claim = await swarm.claim_one(session)
    await swarm.operator.execute(
        "INSERT INTO juggernaut.attempts (task_id, fence, session_id, worker_id, login, ended_at,"
        " ended_as, error_code) SELECT $1, -n, $2, 'w1', 'x', now(), 'released',"
        " (ARRAY['put_off', 'same_files', 'changed'])[1 + n % 3] FROM generate_series(1, 90) n",
        claim.task.id,
        session.id,
    )
    assert await swarm.store.release(claim.lease, "stopped")
    row = await row_of(swarm, claim.task.id)
    assert (row["status"], row["attempts"]) == ("pending", 0)


async def test_a_footprint_that_waits_is_no_giving_back(swarm: Swarm) -> None:
    """It is told apart from what a worker gave back."""
    first = await code(swarm, "w1", repo=REPO)
    assert await swarm.store.note_files(first.lease, REPO, ["a.py"])
    second = await code(swarm, "w2", repo=REPO)
    decision = await swarm.store.begin_files(second.lease, REPO, ["a.py"])
    assert decision is not None
    assert not decision.go
    assert await swarm.operator.fetchval(CODE, second.task.id) == "same_files"


@pytest.mark.parametrize("name", ["watchdog", "analyst", "scribe", "clerk"])
async def test_no_worker_has_the_name_of_another_kind(
    swarm: Swarm, database: Database, worker_login: Login, name: str
) -> None:
    """It would take what is assigned to that kind; by function and by plain SQL alike."""
    await swarm.operator.fetchval("SELECT grant_capability('scribe', 'report')")
    await swarm.operator.execute("SELECT limit_login('somebody', '{clerk}')")
    with pytest.raises(LawRefused, match=f"'{name}' is a kind of worker"):
        await swarm.worker(name)
    plain = await database.connect(worker_login)
    with pytest.raises(asyncpg.PostgresError, match=f"'{name}' is a kind of worker"):
        await plain.execute(
            "INSERT INTO worker_registry (worker_id, worker_type, status)"
            " VALUES ($1, 'executor', 'active')",
            name,
        )
    own = await swarm.store.open_session(WorkerId("watchdog"), "watchdog", (), {})
    assert own.worker_id == "watchdog"
