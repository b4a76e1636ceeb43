"""The hot statements look nothing up by walking governance_tasks, with 20,000 rows in it.

The server counts the scans of a transaction by kind, nested statements and triggers included.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from benchmarks import load
from juggernaut.domain.model import Session
from tests.fixtures_postgres import Database, Login
from tests.invariants.daemon_calls import BATCH
from tests.store.swarm import Swarm, open_swarm

ROWS = 20_000
SCANS = (
    "SELECT seq_scan, idx_scan FROM pg_stat_xact_all_tables"
    " WHERE relid = 'public.governance_tasks'::regclass"
)
ADD = "INSERT INTO governance_tasks (title, task_type, dedupe_key, depends_on, parent_task_id)"
Step = tuple[str, tuple[object, ...]]


@dataclass(slots=True)
class Crowd:
    """A crowded table, a worker with one task in its hands, and a task that has expired."""

    swarm: Swarm
    worker: asyncpg.Connection[asyncpg.Record]
    session: Session
    held: tuple[UUID, int, UUID]
    other: UUID

    async def scans(self, who: str, statement: str, *values: object) -> tuple[int, int]:
        """Run a statement and undo it; gives its sequential scans and its index scans."""
        hand = self.worker if who == "worker" else self.swarm.operator
        transaction = hand.transaction()
        await transaction.start()
        try:
            before = await hand.fetchrow(SCANS)
            await hand.fetch(statement, *values)
            after = await hand.fetchrow(SCANS)
        finally:
            await transaction.rollback()
        assert before is not None
        assert after is not None
        return after["seq_scan"] - before["seq_scan"], after["idx_scan"] - before["idx_scan"]


@pytest.fixture
async def crowd(database: Database, worker_login: Login) -> AsyncIterator[Crowd]:
    """20,000 waiting tasks, with statistics."""
    async with open_swarm(database, worker_login) as swarm:
        await load.grant_kinds(swarm.operator)
        await load.load_pending(swarm.operator, ROWS)
        await swarm.add(title="expired", priority="critical", timeout_seconds=1)
        held = await swarm.add(title="held", priority="critical")
        session = await swarm.worker()
        claims = {claim.task.id: claim for claim in await swarm.store.claim(session, 2)}
        (gone,) = set(claims) - {held}
        await swarm.operator.execute(
            "UPDATE governance_tasks SET lease_until = clock_timestamp() - interval '1 hour'"
            " WHERE id = $1",
            gone,
        )
        await swarm.operator.execute("VACUUM ANALYZE governance_tasks", timeout=60)
        lease = next(claim.lease for task, claim in claims.items() if task == held)
        mine = (lease.task_id, lease.fence, lease.secret)
        yield Crowd(swarm, await database.connect(worker_login), session, mine, gone)


HOT: Mapping[str, tuple[str, Callable[[Crowd], Step]]] = {
    "complete_batch": ("worker", lambda c: (BATCH, c.held)),
    "enqueue": ("operator", lambda c: (f"{ADD} VALUES ('t', 'test', NULL, '{{}}', NULL)", ())),
    "enqueue with a key": (
        "operator",
        lambda c: (f"{ADD} VALUES ('t', 'test', 'key', '{{}}', NULL)", ()),
    ),
    "enqueue with a need and a parent": (
        "operator",
        lambda c: (f"{ADD} VALUES ('t', 'test', NULL, ARRAY[$1::uuid], $1)", (c.other,)),
    ),
    "heartbeat": (
        "worker",
        lambda c: (
            "SELECT juggernaut.beat_v1($1, $2, 'busy', $3)",
            (c.session.id, c.session.secret, c.other),
        ),
    ),
    "sweep": ("worker", lambda c: ("SELECT juggernaut.sweep_v1()", ())),
    "claim": (
        "worker",
        lambda c: (
            "SELECT * FROM juggernaut.claim_v1($1, $2, 4)",
            (c.session.id, c.session.secret),
        ),
    ),
}
# What is missing when each index is: the check has to see it.
NEEDED = {
    "sweep": "tasks_leased",
    "enqueue with a key": "tasks_dedupe_key",
}


async def walks(crowd: Crowd) -> dict[str, int]:
    """Give the sequential scans of each hot statement."""
    found = {}
    for name, (who, make) in HOT.items():
        statement, values = make(crowd)
        seq, idx = await crowd.scans(who, statement, *values)
        found[name] = seq
        looks = name not in ("enqueue", "heartbeat")
        assert idx > 0 or seq > 0 or not looks, f"{name} never looked at governance_tasks"
    return found


@pytest.mark.timeout(60)
async def test_no_hot_statement_walks_the_table(crowd: Crowd) -> None:
    """Completion, enqueue, heartbeat, sweep and claim; without their index the walk is seen."""
    assert await walks(crowd) == dict.fromkeys(HOT, 0)
    for name, index in NEEDED.items():
        await crowd.swarm.operator.execute(f"DROP INDEX {index}")
        assert (await walks(crowd))[name] > 0, f"{name} is not seen to walk without {index}"
    swept = await crowd.swarm.store.sweep()
    assert (swept["expired"], swept["given_up"]) == (1, 0), "the sweep had nothing to do"
