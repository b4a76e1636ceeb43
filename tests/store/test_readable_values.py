"""Whatever is written can be read: long numbers, deep values and far dates are refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from juggernaut.adapters.postgres import records
from juggernaut.adapters.postgres.board import open_board
from juggernaut.adapters.postgres.decoding import MOST_LEVELS, read_json
from juggernaut.app.migrate import migrate
from juggernaut.domain.model import Task
from tests.fixtures_postgres import MIGRATIONS, Database, Login, fresh_login
from tests.store.swarm import open_swarm

LONG = '{"n": 1e5000}'
DEEP = f'{{"x": {"[" * 65}{"]" * 65}}}'
FINE = f'{{"x": {"[" * 64}{"]" * 64}, "n": {"9" * 400}, "text": "{"7" * 5000}", "d": 0.125}}'
NUMBER, LEVELS, YEARS = "more than 400 digits", "nests deeper than 64", "years 1 to 9999"
TASK = "INSERT INTO governance_tasks (title, task_type, {}) VALUES ('t', 'command', {})"
LAST = "'294276-12-31 23:59:59+00'"
# Filled by our own functions alone, from what is bounded where it comes in.
MADE_BY_US: Final = {
    *("public.alerts.details", "juggernaut.events.before", "juggernaut.events.after"),
    *("juggernaut.criteria.check_argv", "juggernaut.forks.facts"),
    "juggernaut.migrations.fingerprint",
}
COLUMNS = """
SELECT format('%s.%s.%s', n.nspname, c.relname, a.attname) AS place,
       EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled = 'A'
          AND t.tgfoid IN ('juggernaut.guard_json'::regproc, 'juggernaut.guard_log'::regproc,
                           'juggernaut.guard_learning'::regproc, 'juggernaut.guard_insert'::regproc,
                           'juggernaut.guard_plan'::regproc, 'juggernaut.guard_approval'::regproc)
          AND concat(pg_get_functiondef(t.tgfoid), pg_get_triggerdef(t.oid))
              LIKE '%' || a.attname || '%') AS guarded
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
  JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname IN ('public', 'juggernaut')
 WHERE a.atttypid = 'jsonb'::regtype AND NOT c.relispartition AND NOT a.attisdropped
"""
PLAIN_LOG = (
    "INSERT INTO execution_logs (worker_id, action, message, {}) VALUES ('p1', 'a', 'm', '{}')"
)
LEARN = (
    "INSERT INTO learnings (task_id, worker_id, category, title, description, impact_score, tags)"
    " VALUES ('{}', 'p1', 'c', 't', 'd', 0.5, '[1e100000]')"
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"n": [1, 1.5, null]}', {"n": [1, 1.5, None]}),
        (f"[{'9' * 401}]", ["(a number of 401 digits)"]),
        (f"[{'1' * 400}.5]", ["(a number of 402 digits)"]),
        ("[" * 2000 + "]" * 2000, "(nested too deep)"),
        (f'[{"[" * 1500}"]{chr(92)}"]"{"]" * 1500}, {{"a": 2}}]', "(nested too deep)"),
    ],
)
def test_every_value_of_the_database_is_read(text: str, value: object) -> None:
    """A mark stands where Python has no value, and what is beside it is there."""
    found = read_json(text)
    if value != "(nested too deep)":
        assert found == value
        return
    if isinstance(found, list) and len(found) > 1:
        assert found[1] == {"a": 2}
    for _ in range(MOST_LEVELS):
        assert isinstance(found, list)
        found = found[0]
    assert found == value


async def test_what_no_client_reads_is_refused_by_name(
    database: Database, approver_login: Login, plain_login: Login
) -> None:
    """People and workers alike; what is long as text, or within the bounds, is not."""
    operator = await database.connect()
    approver, plain = await database.connect(approver_login), await database.connect(plain_login)
    await plain.execute(
        "INSERT INTO worker_registry (worker_id, worker_type, status)"
        " VALUES ('p1', 'executor', 'active')"
    )
    mine = await approver.fetchval(TASK.format("payload", f"'{FINE}'") + " RETURNING id")
    await plain.execute(
        "UPDATE governance_tasks SET status = 'in_progress', assigned_worker = 'p1' WHERE id = $1",
        mine,
    )
    refused = [
        (approver, TASK.format("payload", f"'{LONG}'"), f"payload holds .* {NUMBER}"),
        (approver, TASK.format("payload", f"'{DEEP}'"), f"payload {LEVELS}"),
        (approver, TASK.format("deadline", "'20000-01-01'"), f"deadline is .*{YEARS}"),
        (approver, TASK.format("run_after", LAST), f"run_after is .*{YEARS}"),
        (approver, TASK.format("run_after", "'4000-01-01 BC'"), f"run_after is .*{YEARS}"),
        (plain, LEARN.format(mine), f"tags holds .* {NUMBER}"),
        (plain, PLAIN_LOG.format("metadata", '{"a": 1e-9999}'), f"metadata holds .* {NUMBER}"),
        (plain, PLAIN_LOG.format("error_data", DEEP), f"error_data {LEVELS}"),
        (
            plain,
            "INSERT INTO worker_registry (worker_id, worker_type, status, capabilities)"
            " VALUES ('p2', 'executor', 'active', '[1e999]')",
            f"capabilities holds .* {NUMBER}",
        ),
        (operator, f"UPDATE governance_tasks SET result = '{LONG}'", f"result holds .* {NUMBER}"),
        (operator, f"UPDATE governance_tasks SET completed_at = {LAST}", f"completed_at .*{YEARS}"),
        (
            operator,
            "INSERT INTO juggernaut.evidence (task_id, fence, kind, facts, source, recorded_by)"
            f" VALUES (gen_random_uuid(), 1, 'command', '{LONG}', 'verifier', 'w')",
            f"facts holds .* {NUMBER}",
        ),
        (
            operator,
            "INSERT INTO schedules (name, cron, title, task_type, next_run_at)"
            f" VALUES ('a', '* * * * *', 't', 'command', {LAST})",
            "times_are_known",
        ),
    ]
    for connection, statement, says in refused:
        with pytest.raises(asyncpg.PostgresError, match=says):
            await connection.execute(statement)
    late = TASK.format("depends_on, run_after", f"ARRAY['{mine}'::uuid], '9999-12-31 23:59+00'")
    await approver.execute(late)
    await operator.execute("SELECT juggernaut.detect_v1()")
    assert len(await approver.fetch("SELECT * FROM why_idle")) == 1
    places = {row["place"]: row["guarded"] for row in await operator.fetch(COLUMNS)}
    assert {place for place, guarded in places.items() if not guarded} == MADE_BY_US


async def test_a_schedule_has_its_next_time_within_what_cron_gives(
    database: Database, worker_login: Login
) -> None:
    """Neither long ago nor beyond the years that a line of cron reaches; the others go on."""
    fire = "SELECT juggernaut.fire_schedule_v1('a', clock_timestamp(), {})"
    async with open_swarm(database, worker_login) as swarm:
        await swarm.operator.execute(
            "INSERT INTO schedules (name, cron, title, task_type)"
            " VALUES ('a', '0 0 29 2 *', 't', 'command'), ('b', '* * * * *', 't', 'command')"
        )
        for given in ("'4000-01-01 BC'", "'infinity'", "now() + interval '52 years'"):
            with pytest.raises(asyncpg.PostgresError, match="schedule a cannot run next at"):
                await swarm.pool.execute(fire.format(given))
        await swarm.pool.execute(fire.format("now() + interval '40 years'"))
        (left,) = await swarm.store.due_schedules()
        assert left["name"] == "b"


async def test_one_task_that_cannot_be_read_is_a_persons(
    database: Database, worker_login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is blocked by name, and what was claimed with it goes on."""
    read = records.task_of

    def strict(row: dict[str, object]) -> Task:
        """Know every task but one."""
        if row["title"] == "odd":
            raise ValueError("'odd' is not a title")
        return read(row)

    async with open_swarm(database, worker_login) as swarm:
        session = await swarm.worker()
        odd, fine = await swarm.add(title="odd"), await swarm.add()
        monkeypatch.setattr(records, "task_of", strict)
        assert [claim.task.id for claim in await swarm.store.claim(session, 2)] == [fine]
        row = await swarm.operator.fetchrow(
            "SELECT status, blocked_reason, blocked_owner FROM governance_tasks WHERE id = $1", odd
        )
        assert row is not None
        assert row["status"] == "blocked"
        assert "cannot read the task: ValueError: 'odd' is not" in row["blocked_reason"]
        assert row["blocked_owner"].startswith("a person")


async def test_rows_of_before_are_put_right(empty_database: Database, tmp_path: Path) -> None:
    """What was written before the law knew better is claimed, listed and tried again as before."""
    for file in sorted(MIGRATIONS.glob("*.sql")):
        if file.name.endswith("values_one_can_read.sql"):
            break
        shutil.copy(file, tmp_path)
    await migrate(empty_database.url, tmp_path)
    operator = await empty_database.connect()
    await operator.execute(TASK.format("payload, run_after", f"'{LONG}', '4000-01-01 BC'"))
    await operator.execute(TASK.format("deadline", "'20000-01-01'"))
    await operator.execute(TASK.format("payload, run_after", f"'{DEEP}', {LAST}"))
    await operator.execute(
        "SELECT cancel_task(id, 'no') FROM governance_tasks WHERE due_at > now()"
    )
    await operator.execute(
        "INSERT INTO schedules (name, cron, title, task_type, next_run_at, payload)"
        f" VALUES ('a', '* * * * *', 't', 'command', '4000-01-01 BC', '{LONG}')"
    )
    log = "INSERT INTO execution_logs (action, message, metadata) VALUES ('a', 'm', $1::jsonb)"
    await operator.execute(log, LONG)
    await migrate(empty_database.url, MIGRATIONS)
    async with (
        open_board(empty_database.url) as board,
        fresh_login(empty_database, "juggernaut_worker") as login,
        open_swarm(empty_database, login) as swarm,
    ):
        assert len(await board._connection.fetch("SELECT * FROM why_idle")) == 2
        tasks = await board._connection.fetch("SELECT * FROM governance_tasks ORDER BY created_at")
        assert [row["payload"] for row in tasks[:2]] == [{"n": "(too long)"}, {}]
        assert "(too deep)" in str(tasks[2]["payload"])
        assert [
            row["tgenabled"]
            for row in await operator.fetch(
                "SELECT DISTINCT tgenabled::text FROM pg_trigger WHERE NOT tgisinternal"
                " AND tgrelid = 'public.governance_tasks'::regclass"
            )
        ] == ["A"]
        for reader in (board._connection, swarm.pool):
            metadata = await reader.fetchval(
                "SELECT metadata FROM execution_logs WHERE action = 'a'"
            )
            assert metadata == {"n": "(a number of 5001 digits)"}
        assert [row["name"] for row in await swarm.store.due_schedules()] == ["a"]
        await operator.execute("SELECT grant_capability('executor', 'command')")
        claims = await swarm.store.claim(await swarm.worker(), 3)
        assert len(claims) == 2
        assert await swarm.store.release(claims[0].lease, "later")
