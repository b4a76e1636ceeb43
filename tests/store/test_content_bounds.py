"""What a task may contain is judged when it is written, by insert and by update alike."""

from __future__ import annotations

import asyncpg
import pytest

from tests.fixtures_postgres import Database, Login
from tests.store.swarm import command_completion, open_swarm

LONG = 400
# column, a value in SQL, what the refusal says
FAULTS = {
    "empty title": ("title", "'  '", "title has 0 characters, and may have 1 to 300"),
    "long title": ("title", f"repeat('x', {LONG})", "title has 400 characters"),
    "long description": ("description", "repeat('x', 100001)", "description has 100001"),
    "long criteria": ("acceptance_criteria", "repeat('x', 60001)", "acceptance_criteria has 60001"),
    "long dedupe key": ("dedupe_key", f"repeat('x', {LONG})", "dedupe_key has more than 300"),
    "long concurrency key": ("concurrency_key", f"repeat('x', {LONG})", "concurrency_key has more"),
    "no attempt": ("max_attempts", "0", "max_attempts is 0, and may be 1 to 20"),
    "many attempts": ("max_attempts", "21", "max_attempts is 21"),
    "no time": ("timeout_seconds", "0", "timeout_seconds is 0, and may be 1 to 86400"),
    "much time": ("timeout_seconds", "86401", "timeout_seconds is 86401"),
    "negative budget": ("budget_usd", "-0.01", "budget_usd is -0.010*, and may not be below 0"),
    "payload that is a list": ("payload", "'[]'", "payload is not a JSON object"),
    "huge payload": (
        *("payload", "jsonb_build_object('a', repeat(md5(random()::text), 40000))"),
        "payload has [0-9]+ bytes",
    ),
    "unknown policy": ("on_failed_need", "'shrug'", "unknown on_failed_need 'shrug'"),
    "long worker": ("assigned_worker", f"repeat('x', {LONG})", "assigned_worker has 400"),
    "unknown type": ("task_type", "'juggling'", "unknown task_type 'juggling'"),
    "unknown priority": ("priority", "'soon'", "unknown priority 'soon'"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_content_out_of_bounds_is_refused_by_name(
    database: Database, worker_login: Login, name: str
) -> None:
    """The operator's insert and update meet the same bound, and the message names the value."""
    column, value, says = FAULTS[name]
    async with open_swarm(database, worker_login) as swarm:
        task = await swarm.add()
        columns = {"title": "'t'", "task_type": "'command'", column: value}
        with pytest.raises(asyncpg.PostgresError, match=says):
            await swarm.operator.execute(
                f"INSERT INTO governance_tasks ({', '.join(columns)})"
                f" VALUES ({', '.join(columns.values())})"
            )
        with pytest.raises(asyncpg.PostgresError, match=says):
            await swarm.operator.execute(
                f"UPDATE governance_tasks SET {column} = {value} WHERE id = $1", task
            )


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("run_after", "'infinity'", "run_after is infinity"),
        ("run_after", "'-infinity'", "run_after is -infinity"),
        ("deadline", "'infinity'", "deadline is infinity"),
        ("assigned_worker", f"repeat(md5('x'), {LONG})", "assigned_worker has 12800 characters"),
    ],
)
async def test_what_waits_can_be_placed_when_its_need_completes(
    database: Database, worker_login: Login, column: str, value: str, says: str
) -> None:
    """Or it is refused to who writes it, not to who completes the need."""
    async with open_swarm(database, worker_login) as swarm:
        need = await swarm.add()
        task = await swarm.add(depends_on=[need])
        insert = f"INSERT INTO governance_tasks (title, task_type, depends_on, {column})"
        for needs in ([need], []):
            with pytest.raises(asyncpg.PostgresError, match=says):
                await swarm.operator.execute(
                    f"{insert} VALUES ('t', 'command', $1, {value})", needs
                )
        for row in (task, need):
            with pytest.raises(asyncpg.PostgresError, match=says):
                await swarm.operator.execute(
                    f"UPDATE governance_tasks SET {column} = {value} WHERE id = $1", row
                )
        claim = await swarm.claim_one(await swarm.worker())
        with pytest.raises(asyncpg.PostgresError, match=says):
            await swarm.operator.execute(
                f"UPDATE governance_tasks SET {column} = {value} WHERE id = $1", need
            )
        assert await swarm.store.complete(claim.lease, command_completion())
        assert await swarm.status(task) == "pending"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM juggernaut.task_types WHERE task_type = 'report'",
        "UPDATE juggernaut.task_types SET task_type = 'x' WHERE task_type = 'report'",
        "DELETE FROM juggernaut.risks WHERE risk_level = 'critical'",
        "DELETE FROM juggernaut.priorities WHERE priority = 'low'",
    ],
)
async def test_what_tasks_name_is_not_removed(
    database: Database, worker_login: Login, statement: str
) -> None:
    """No key of the table holds these rows any more: the guard does."""
    async with open_swarm(database, worker_login) as swarm:
        with pytest.raises(asyncpg.PostgresError, match="named by tasks"):
            await swarm.operator.execute(statement)


# The fiftieths of a second of the next twenty seconds, as the hint counts them.
MOMENTS = (
    "SELECT (((extract(epoch FROM clock_timestamp()) * 50)::bigint + n)::bit(31)::integer)"
    " FROM generate_series(-1, 1000) n"
)


async def test_one_wake_up_at_a_time(database: Database, worker_login: Login) -> None:
    """While another's hint of this moment is under way none is given; later there is one."""
    async with open_swarm(database, worker_login) as swarm:
        await swarm.store.idle(await swarm.worker(), True)
        heard: list[object] = []
        ear = await database.connect()
        await ear.add_listener("juggernaut_work", lambda *event: heard.append(event))
        other = await database.connect()
        async with other.transaction():
            await other.execute(f"SELECT pg_advisory_xact_lock(7463, k) FROM ({MOMENTS}) m (k)")
            await swarm.add()
            await ear.execute("SELECT 1")
            assert not heard
        await swarm.add()
        await ear.execute("SELECT 1")
        assert len(heard) == 1
