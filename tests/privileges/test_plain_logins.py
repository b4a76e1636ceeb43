"""A plain login: the printed statements, and no way to be the verifier of one's own word."""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg
import pytest

from tests.fixtures_postgres import Database, Login
from tests.invariants.scene import Connection
from tests.privileges.test_matrix import matrix

DAEMONS = """
SELECT p.oid::regprocedure::text AS name,
       format('SELECT juggernaut.%I(%s)', p.proname,
              (SELECT string_agg('NULL::' || format_type(t, NULL), ', ')
                 FROM unnest(p.proargtypes) AS t)) AS call
  FROM pg_proc p
 WHERE p.pronamespace = 'juggernaut'::regnamespace
   AND has_function_privilege('juggernaut_worker', p.oid, 'EXECUTE')
   AND NOT has_function_privilege('juggernaut_reader', p.oid, 'EXECUTE')
"""
REGISTER = "INSERT INTO worker_registry (worker_id, worker_type) VALUES ('PSQL', 'executor')"
CLAIM = (
    "UPDATE governance_tasks SET status = 'in_progress', assigned_worker = 'PSQL',"
    " started_at = NOW() WHERE id = $1"
)
END = (
    "UPDATE governance_tasks SET status = 'completed', completion_evidence ="
    " 'Merged PR #1: https://forge.example.invalid/o/r/pull/1 - 12 tests passing' WHERE id = $1"
)


async def reported(operator: Connection, plain: Connection) -> tuple[UUID, int]:
    """Give a code task whose merge a plain worker reported, and its fence."""
    task = await operator.fetchval(
        "INSERT INTO governance_tasks (title, task_type) VALUES ('t', 'code') RETURNING id"
    )
    await plain.execute(REGISTER)
    await plain.execute(CLAIM, task)
    await plain.execute(END, task)
    row = await operator.fetchrow("SELECT status, fence FROM governance_tasks WHERE id = $1", task)
    assert row is not None
    assert row["status"] == "awaiting_merge"
    return task, row["fence"]


async def test_it_holds_a_workers_columns_and_a_readers_functions(database: Database) -> None:
    """Now and after every migration to come: the three groups are held to each other."""
    powers: dict[str, set[str]] = {}
    for line in await matrix(await database.connect()):
        kind, _, power = line.partition(" | ")
        powers.setdefault(kind, set()).add(power)
    functions = {
        kind: {power for power in held if power.startswith("function ")}
        for kind, held in powers.items()
    }
    hands = {power for power in functions["worker"] if power.startswith("function public.")}
    assert powers["plain"] - functions["plain"] == powers["worker"] - functions["worker"]
    assert functions["plain"] == functions["reader"] | hands


async def test_no_function_of_the_daemon_answers_it(database: Database, plain_login: Login) -> None:
    """Each of them is refused by the server before it runs."""
    operator, plain = await database.connect(), await database.connect(plain_login)
    calls = await operator.fetch(DAEMONS)
    assert len(calls) > 50
    for call in calls:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            await plain.execute(call["call"])


async def test_it_does_not_confirm_its_own_merge(
    database: Database, plain_login: Login, worker_login: Login
) -> None:
    """It waits for the verifier, which has a login of another kind."""
    operator, plain = await database.connect(), await database.connect(plain_login)
    task, fence = await reported(operator, plain)
    for statement in (
        f"SELECT juggernaut.confirm_merge_v1('{task}', {fence}, 'merged', '')",
        "SELECT * FROM juggernaut.open_session_v1('me', 'executor', '{}')",
        f"UPDATE governance_tasks SET status = 'pending' WHERE id = '{task}'",
        f"UPDATE governance_tasks SET status = 'completed' WHERE id = '{task}'",
        f"UPDATE governance_tasks SET status = 'in_progress', assigned_worker = 'PSQL'"
        f" WHERE id = '{task}'",
        "SET ROLE juggernaut_worker",
    ):
        with pytest.raises(asyncpg.PostgresError):
            await plain.execute(statement)
    status = "SELECT status FROM governance_tasks WHERE id = $1"
    assert await operator.fetchval(status, task) == "awaiting_merge"
    daemon = await database.connect(worker_login)
    confirm = "SELECT juggernaut.confirm_merge_v1($1, $2, 'merged', '')"
    assert await daemon.fetchval(confirm, task, fence) == "pending"


async def test_it_is_a_worker_to_every_guard(
    database: Database, plain_login: Login, worker_login: Login
) -> None:
    """Its kind is worker, its forge login approves nothing, and its old transactions end."""
    operator, plain = await database.connect(), await database.connect(plain_login)
    assert await plain.fetchval("SELECT juggernaut.acting_kind()") == "worker"
    await operator.execute(f"GRANT juggernaut_approver TO {plain_login.name}")
    assert await plain.fetchval("SELECT juggernaut.acting_kind()") == "worker"
    with pytest.raises(asyncpg.PostgresError, match="no approver's login"):
        await operator.execute("SELECT map_forge_login('ada', $1)", plain_login.name)
    await operator.execute(
        "UPDATE juggernaut.thresholds SET value = 0.05 WHERE name = 'transaction_seconds'"
    )
    await plain.execute("BEGIN; SELECT count(*) FROM governance_tasks")
    await asyncio.sleep(0.1)
    daemon = await database.connect(worker_login)
    await daemon.execute("SELECT juggernaut.sweep_v1()")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
        await plain.execute("SELECT 1")
