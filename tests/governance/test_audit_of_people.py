"""What a person may change is in the audit chain: every column, every table, and every login."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest

from juggernaut.app.logins import create_login, drop_login
from tests.fixtures_postgres import Database, Login
from tests.invariants.scene import Connection
from tests.privileges.test_matrix import SNAPSHOT
from tests.store.swarm import Swarm, open_swarm

# How an approver changes each column that it may change; status has an event for each move.
BY_APPROVER = {
    "acceptance_criteria": "'it works'",
    "approved_by": "NULL",
    "deadline": "now() + interval '1 day'",
    "description": "'other'",
    "error_message": "'zzz'",
    "payload": "'{\"a\": 1}'",
    "priority": "'low'",
    "run_after": "now() + interval '3 days'",
    "status": "'cancelled'",
    "title": "'other'",
}
SETUP = """
INSERT INTO alerts (kind, subject, severity, title) VALUES ('k', 's', 'error', 't');
INSERT INTO juggernaut.login_types VALUES ('somebody', 'executor');
INSERT INTO schedules (name, cron, title, task_type) VALUES ('s', '@daily', 's', 'report');
INSERT INTO governance_tasks (title, task_type, acceptance_criteria) VALUES ('t', 'code', 'works');
INSERT INTO juggernaut.editors (task_id, login) SELECT id, 'somebody' FROM governance_tasks;
INSERT INTO worker_registry (worker_id, worker_type) VALUES ('w', 'executor');
"""
BY_OPERATOR = (
    ("budgets.update", "UPDATE budgets SET cap_tokens = 999999999"),
    ("budgets.update", "UPDATE budgets SET spent_usd = 1"),
    ("budgets.update", "UPDATE budgets SET spent_tokens = 1"),
    ("budgets.update", "UPDATE budgets SET period_start = period_start - 1"),
    ("login_types.delete", "DELETE FROM juggernaut.login_types"),
    ("alerts.update", "UPDATE alerts SET resolved_at = now()"),
    ("alerts.delete", "DELETE FROM alerts"),
    ("schedules.update", "UPDATE schedules SET next_run_at = now()"),
    ("editors.delete", "DELETE FROM juggernaut.editors"),
    ("criteria.update", "UPDATE juggernaut.criteria SET text = 'other'"),
    ("worker_registry.update", "UPDATE worker_registry SET capabilities = '[\"code\"]'"),
    ("sessions.update", "UPDATE juggernaut.sessions SET login = 'somebody'"),
    ("forge_rules.insert", "INSERT INTO juggernaut.forge_rules (repo) VALUES ('acme/app')"),
    ("governance_tasks.update", "UPDATE governance_tasks SET assigned_worker = 'w'"),
    ("governance_tasks.update", "UPDATE governance_tasks SET on_failed_need = 'run'"),
    ("governance_tasks.update", "UPDATE governance_tasks SET attempts = 1"),
    ("governance_tasks.update", "UPDATE governance_tasks SET approval_reason = 'x'"),
)
EVENTS = """
SELECT kind, subject, login, application, before, after FROM juggernaut.events
 WHERE seq > $1 ORDER BY seq
"""


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


@pytest.fixture
async def person(database: Database, approver_login: Login) -> Connection:
    """An approver at psql."""
    connection = await database.connect(approver_login)
    await connection.execute("SET application_name = 'psql'")
    return connection


async def told(operator: Connection, hand: Connection, statement: str) -> list[asyncpg.Record]:
    """Give the events that a statement leaves."""
    last = await operator.fetchval("SELECT coalesce(max(seq), 0) FROM juggernaut.events")
    await hand.execute(statement)
    found: list[asyncpg.Record] = await operator.fetch(EVENTS, last)
    return found


def test_every_column_that_an_approver_may_change_is_tried() -> None:
    """A new grant would be found here."""
    line = next(
        line
        for line in SNAPSHOT.read_text(encoding="utf-8").splitlines()
        if line.startswith("approver | columns public.governance_tasks")
    )
    names = line.partition("UPDATE (")[2].rstrip(")").split(", ")
    assert names == sorted(BY_APPROVER)


@pytest.mark.parametrize("column", sorted(BY_APPROVER))
async def test_what_an_approver_changes_is_told(
    swarm: Swarm, person: Connection, column: str
) -> None:
    """Login, application, before and after; once."""
    task = await swarm.add()
    if column == "approved_by":
        await swarm.operator.execute(
            "ALTER TABLE governance_tasks DISABLE TRIGGER guard_words;"
            "UPDATE governance_tasks SET approved_by = 'cora';"
            "ALTER TABLE governance_tasks ENABLE ALWAYS TRIGGER guard_words"
        )
    events = await told(
        swarm.operator, person, f"UPDATE governance_tasks SET {column} = {BY_APPROVER[column]}"
    )
    mine = [row for row in events if row["subject"] == str(task) and row["application"] == "psql"]
    assert len(mine) == 1, events
    assert column in json.loads(mine[0]["after"])
    assert mine[0]["login"] == await person.fetchval("SELECT session_user::text")


async def test_a_move_with_more_in_it_tells_all_of_it(swarm: Swarm, person: Connection) -> None:
    """What the event of the move does not say has one of its own."""
    await swarm.add()
    await swarm.operator.execute(
        "ALTER TABLE governance_tasks DISABLE TRIGGER guard_update;"
        "UPDATE governance_tasks SET status = 'blocked', ready = false, blocked_reason = 'r',"
        " blocked_owner = 'o', blocked_at = now();"
        "ALTER TABLE governance_tasks ENABLE ALWAYS TRIGGER guard_update"
    )
    events = await told(
        swarm.operator,
        person,
        "UPDATE governance_tasks SET status = 'pending', run_after = now() + interval '3 days'",
    )
    assert [row["kind"] for row in events] == ["governance_tasks.update", "task.pending"]
    assert set(json.loads(events[0]["after"])) == {"run_after"}


@pytest.mark.parametrize(("kind", "statement"), BY_OPERATOR)
async def test_what_an_operator_types_is_told(
    database: Database, kind: str, statement: str
) -> None:
    """Tables that no event covered; each change once, with its row named."""
    operator = await database.connect()
    await operator.execute(SETUP)
    events = await told(operator, await database.connect(), statement)
    assert [row["kind"] for row in events] == [kind], statement
    assert events[0]["subject"]


async def test_work_leaves_no_event_of_a_person(swarm: Swarm) -> None:
    """Claims, calls, failures, beats and sweeps have their own events, and no others."""
    last = await swarm.operator.fetchval("SELECT coalesce(max(seq), 0) FROM juggernaut.events")
    await swarm.add(max_attempts=2)
    await swarm.pool.execute(  # a plain-SQL worker types this itself
        "INSERT INTO worker_registry (worker_id, worker_type) VALUES ('raw', 'executor')"
    )
    session = await swarm.worker()
    claim = await swarm.claim_one(session)
    call = await swarm.pool.fetchval(
        "SELECT juggernaut.reserve_v2($1, $2, $3, 'm', 'p', 'd', 0.5, 100, NULL, NULL)",
        claim.lease.task_id,
        claim.lease.fence,
        claim.lease.secret,
    )
    await swarm.pool.fetchval("SELECT juggernaut.settle_v1($1, 0.25, '{\"tokens\": 50}')", call)
    await swarm.store.fail(claim.lease, "x", "broke", retry_after=3_600)
    await swarm.store.sweep()
    await swarm.pool.fetchval("SELECT juggernaut.detect_v1()")
    kinds = {row["kind"] for row in await swarm.operator.fetch(EVENTS, last)}
    assert {"task.created", "task.pending"} <= kinds
    assert not {kind for kind in kinds if kind.partition(".")[2] in {"update", "insert", "delete"}}


async def test_who_may_decide_is_in_the_chain(database: Database) -> None:
    """A login that is made or dropped by the command, in the same transaction."""
    operator = await database.connect()
    name = f"p{secrets.token_hex(6)}"
    await create_login(database.url, "approver", name)
    await drop_login(database.url, name)
    rows = [row for row in await operator.fetch(EVENTS, 0) if row["subject"] == name]
    assert [(row["kind"], json.loads(row["after"])) for row in rows] == [
        ("login.created", {"kind": "approver"}),
        ("login.dropped", {"kind": "approver"}),
    ]


async def test_a_login_of_a_server_without_a_schema(
    database: Database, empty_database: Database
) -> None:
    """Nothing was migrated there: it is made and dropped all the same."""
    name = f"p{secrets.token_hex(6)}"
    await create_login(empty_database.url, "reader", name)
    await drop_login(empty_database.url, name)
    operator = await database.connect()
    assert not [row for row in await operator.fetch(EVENTS, 0) if row["subject"] == name]


async def test_a_review_of_a_person_is_told(swarm: Swarm, person: Connection) -> None:
    """Reviews, remarks, checks and closing at the local forge."""
    number = await swarm.operator.fetchval(
        "INSERT INTO juggernaut.pull_requests (repo, head_branch, base_branch, title, body,"
        " head_sha) VALUES ('acme/app', 'feature/x', 'main', 't', '', repeat('a', 40))"
        " RETURNING number"
    )
    for statement, kind in (
        (f"SELECT review_pull({number}, 'approved')", "pull_reviews.insert"),
        (f"SELECT comment_pull({number}, 'why?')", "pull_comments.insert"),
        (
            "SELECT report_check('acme/app', repeat('a', 40), 'ci', true)",
            "checks.insert",
        ),
        (f"SELECT close_pull({number}, 'no')", "pull_requests.update"),
    ):
        kinds = [row["kind"] for row in await told(swarm.operator, person, statement)]
        assert kind in kinds, statement
