"""A lane repeats floor and grants of its type and the weight of its priority, never old ones."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.fixtures_postgres import Database, Login
from tests.store.swarm import open_swarm

WRONG = """
SELECT count(*) FROM juggernaut.lanes l
  JOIN juggernaut.task_types y USING (task_type) JOIN juggernaut.priorities q USING (priority)
 WHERE (l.risk_floor, l.weight_seconds) <> (y.risk_floor, q.weight_seconds)
    OR l.granted <> ARRAY(SELECT g.worker_type FROM juggernaut.grants g
                           WHERE g.task_type = l.task_type ORDER BY 1)
"""
RAISE_FLOOR = "UPDATE juggernaut.task_types SET risk_floor = 'critical' WHERE task_type = 'report'"
RAISE_WEIGHT = "UPDATE juggernaut.priorities SET weight_seconds = 9999 WHERE priority = 'high'"
GRANT = "INSERT INTO juggernaut.grants (worker_type, task_type) VALUES ('scribe', 'report')"
MOVE = "UPDATE juggernaut.grants SET task_type = 'code' WHERE worker_type = 'scribe'"
REVOKE = "DELETE FROM juggernaut.grants WHERE worker_type = 'scribe'"
WAITS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
TRIES = 500


async def test_a_new_floor_or_weight_holds_for_the_next_task(
    database: Database, worker_login: Login
) -> None:
    """Also for tasks of lanes that exist already; made-up values of a lane are not taken."""
    async with open_swarm(database, worker_login) as swarm:
        admin = swarm.operator
        for _ in range(2):
            await swarm.add(task_type="report", priority="high")
            await admin.execute(RAISE_FLOOR)
            await admin.execute(RAISE_WEIGHT)
            await admin.execute(
                "UPDATE juggernaut.lanes SET risk_floor = 'low', weight_seconds = 0"
            )
            assert await admin.fetchval(WRONG) == 0
        task = await swarm.add(task_type="report", priority="high")
        row = await admin.fetchrow(
            "SELECT risk_level, claim_key - extract(epoch FROM created_at) * 1000 AS lag"
            " FROM governance_tasks WHERE id = $1",
            task,
        )
        assert row is not None
        assert (row["risk_level"], round(row["lag"] / 1000)) == ("critical", 9999)


async def test_a_grant_reaches_the_lanes_of_both_types(
    database: Database, worker_login: Login
) -> None:
    """Given, moved to another type and taken away; a made-up grant of a lane is not taken."""
    async with open_swarm(database, worker_login) as swarm:
        admin = swarm.operator
        for kind in ("report", "code"):
            await swarm.add(task_type=kind)
        for change in (GRANT, MOVE, REVOKE):
            await admin.execute(change)
            assert await admin.fetchval(WRONG) == 0, change
        await admin.execute("UPDATE juggernaut.lanes SET granted = '{mallory}'")
        assert await admin.fetchval(WRONG) == 0


@pytest.mark.parametrize("statement", [RAISE_FLOOR, GRANT])
@pytest.mark.parametrize("first", ["policy", "lane"])
async def test_a_lane_that_is_made_while_its_type_changes_has_the_new_one(
    database: Database, worker_login: Login, first: str, statement: str
) -> None:
    """Whichever begins first, the other waits for it."""
    async with open_swarm(database, worker_login) as swarm:
        policy, adder = await database.connect(), await database.connect()

        async def add(connection: asyncpg.Connection[asyncpg.Record]) -> None:
            """Add a task whose lane does not exist yet."""
            await connection.execute(
                "INSERT INTO governance_tasks (title, task_type, assigned_worker)"
                " VALUES ('t', 'report', 'someone-new')"
            )

        async def change(connection: asyncpg.Connection[asyncpg.Record]) -> None:
            """Raise the floor, or grant."""
            await connection.execute(statement)

        one, other = (change, add) if first == "policy" else (add, change)
        held = policy.transaction()
        await held.start()
        await one(policy)
        waiting = asyncio.create_task(other(adder))
        for _ in range(TRIES):
            if waiting.done() or await swarm.operator.fetchval(WAITS):
                break
            await asyncio.sleep(0.01)
        await held.commit()
        await waiting
        assert await swarm.operator.fetchval(WRONG) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("status = 'blocked', blocked_reason = 'x', blocked_at = now()", "a reason, an owner and"),
        ("status = 'blocked', blocked_owner = 'x', blocked_at = now()", "a reason, an owner and"),
        ("status = 'failed', error_message = ' '", "fail only with a reason"),
        ("error_message = repeat('x', 16385)", "error_message has 16385 characters"),
        ("completion_evidence = repeat('x', 65537)", "completion_evidence has 65537 characters"),
        ("waits = -1", "waits is below 0"),
    ],
)
async def test_the_guard_judges_what_constraints_judged(
    database: Database, worker_login: Login, change: str, says: str
) -> None:
    """Even the owner of the tables meets these."""
    async with open_swarm(database, worker_login) as swarm:
        task = await swarm.add()
        with pytest.raises(asyncpg.PostgresError, match=says):
            await swarm.operator.execute(
                f"UPDATE governance_tasks SET fence = fence + 1, {change} WHERE id = $1", task
            )


@pytest.mark.parametrize("column", ["error_message", "completion_evidence"])
async def test_a_new_task_has_no_endless_last_words(
    database: Database, worker_login: Login, column: str
) -> None:
    """The bounds hold for inserts too."""
    async with open_swarm(database, worker_login) as swarm:
        with pytest.raises(asyncpg.PostgresError, match=f"{column} has 70000 characters"):
            await swarm.add(**{column: "x" * 70_000})
