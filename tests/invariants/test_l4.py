"""L4: safety never hangs on a clock: expiry is the database's clock_timestamp(), nobody's now().

now() is the time at which a transaction began, so a long transaction would keep a dead lease alive.
Default and full: every function and default of both schemas; 4 questions in a long transaction;
a claim that was kept waiting; a wall clock that jumps ten minutes both ways.
"""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest

from juggernaut.adapters.clock import SystemClock
from tests.invariants.daemon_calls import WRITES, call, statement
from tests.invariants.scene import LONG_AGO, Scene

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
STALE_CLOCK = re.compile(
    r"\b(?:now\s*\(|transaction_timestamp|statement_timestamp|current_timestamp|current_time\b"
    r"|current_date|localtimestamp|localtime)",
    re.IGNORECASE,
)
COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
ASKED = ("effect_intend_v1", "release_v1", "complete_v1")


def stale_clocks(sql: str) -> list[str]:
    """Find the clocks that stand still in a transaction; comments and texts do not count."""
    return STALE_CLOCK.findall(COMMENT.sub(" ", sql))


async def check_functions(scene: Scene) -> None:
    """No function and no default asks a clock that stands still."""
    rows = await scene.operator.fetch(
        "SELECT proname AS name, prosrc AS body FROM pg_proc"
        " WHERE pronamespace IN ('juggernaut'::regnamespace, 'public'::regnamespace)"
        " UNION ALL SELECT adrelid::regclass::text, pg_get_expr(adbin, adrelid) FROM pg_attrdef"
    )
    found = {row["name"]: stale_clocks(row["body"]) for row in rows}
    assert {name: clocks for name, clocks in found.items() if clocks} == {}
    assert len(rows) > 60


async def check_long_transaction(scene: Scene) -> None:
    """A transaction that began before the end of the session is over with it."""
    lease = (await scene.claimed()).lease
    worker = await scene.database.connect(scene.worker)
    async with worker.transaction():
        await worker.fetch("SELECT 1")
        held = statement("still_held_v1")
        assert await call(worker, held, lease.task_id, lease.fence, lease.secret)
        await scene.operator.execute(
            "UPDATE juggernaut.sessions SET expires_at = clock_timestamp()"
        )
        questions = {name: statement(name, WRITES[name]) for name in ASKED}
        for name, written in {"still_held_v1": held, **questions}.items():
            answer = await call(worker, written, lease.task_id, lease.fence, lease.secret)
            assert answer == [], f"{name} took the time at which its transaction began"


async def check_kept_waiting(scene: Scene) -> None:
    """A holder's deadline counts from before the claim was sent, not from when it came back."""
    session = await scene.swarm.worker()
    await scene.swarm.add(timeout_seconds=100)
    blocker = await scene.database.connect()
    async with blocker.transaction():
        await blocker.execute("LOCK TABLE juggernaut.lanes IN ACCESS EXCLUSIVE MODE")
        sent = time.monotonic()
        asked = asyncio.create_task(scene.swarm.store.claim(session, 1))
        await asyncio.wait({asked}, timeout=0.3)
        assert not asked.done()
    (claim,) = await asked
    assert claim.lease.deadline_monotonic - sent < 100.2, "the wait was added to the lease"


@pytest.mark.parametrize("jump", [-600.0, 600.0])
async def test_a_wall_clock_may_jump(
    scene: Scene, jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose wall clock jumps ten minutes holds its lease exactly as before."""
    lease = (await scene.claimed()).lease
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    before = SystemClock().monotonic()
    assert await scene.swarm.store.still_held(lease)
    assert 0 <= SystemClock().monotonic() - before < 60
    assert lease.deadline_monotonic > before
    await scene.operator.execute(f"UPDATE juggernaut.sessions SET expires_at = {LONG_AGO}")
    assert not await scene.swarm.store.still_held(lease)


async def test_no_function_asks_a_standing_clock(scene: Scene) -> None:
    """pg_proc and the defaults of all columns."""
    await check_functions(scene)


def test_no_migration_asks_a_standing_clock() -> None:
    """The text that made them."""
    found = {path.name: stale_clocks(path.read_text()) for path in MIGRATIONS.glob("*.sql")}
    assert {name: clocks for name, clocks in found.items() if clocks} == {}
    assert stale_clocks("SELECT now() -- now()") == ["now("]


async def test_a_long_transaction_keeps_no_lease(scene: Scene) -> None:
    """Four functions, inside a transaction that is older than the expiry."""
    await check_long_transaction(scene)


async def test_a_deadline_counts_from_before_the_claim(scene: Scene) -> None:
    """The claim waits for a lock for 0.3 s."""
    await check_kept_waiting(scene)
