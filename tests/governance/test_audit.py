"""The audit chain: people's statements are in it, a change is named by its row, an anchor holds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import asyncpg
import pytest

from tests.app.commands import Ran, good, run
from tests.fixtures_postgres import Database

PEOPLE = (
    ("goals.update", "UPDATE goals SET description = 'more' WHERE title = 'g'"),
    ("goals.update", "UPDATE goals SET budget_usd = 2 WHERE title = 'g'"),
    ("governance_tasks.update", "UPDATE governance_tasks SET title = 'other' WHERE title = 't'"),
    ("governance_tasks.update", "UPDATE governance_tasks SET priority = 'low'"),
    ("governance_tasks.update", "UPDATE governance_tasks SET payload = '{\"a\": 1}'"),
    ("governance_tasks.update", "UPDATE governance_tasks SET max_attempts = 9"),
    (
        "schedules.insert",
        "INSERT INTO schedules (name, cron, title, task_type)"
        " VALUES ('s', '@daily', 's', 'report')",
    ),
    ("schedules.update", "UPDATE schedules SET cron = '@hourly'"),
    ("schedules.delete", "DELETE FROM schedules"),
    ("controls.insert", "INSERT INTO controls (scope, reason) VALUES ('all', 'by hand')"),
    ("controls.delete", "DELETE FROM controls"),
    ("budgets.update", "UPDATE budgets SET cap_usd = 99 WHERE scope = 'day'"),
    (
        "grants.insert",
        "INSERT INTO juggernaut.grants (worker_type, task_type) VALUES ('auditor', 'code')",
    ),
    ("grants.delete", "DELETE FROM juggernaut.grants WHERE worker_type = 'auditor'"),
    ("thresholds.update", "UPDATE juggernaut.thresholds SET value = 7 WHERE name = 'poll_seconds'"),
    ("risks.update", "UPDATE juggernaut.risks SET approvers = 3 WHERE risk_level = 'critical'"),
    (
        "task_types.update",
        "UPDATE juggernaut.task_types SET risk_floor = 'high' WHERE task_type = 'code'",
    ),
    ("approvals.update", "UPDATE approvals SET reason = 'other' WHERE reason = 'why'"),
)
MAKE = """
INSERT INTO goals (title, budget_usd) VALUES ('g', 1);
INSERT INTO governance_tasks (title, task_type) VALUES ('t', 'code');
INSERT INTO approvals (task_id, gate, digest, body, risk_level, reason, need, requested_by)
SELECT id, 'plan', repeat('a', 64), '{}', 'high', 'why', 1, 'x' FROM governance_tasks
WHERE title = 't';
DELETE FROM controls;
"""


async def operator_of(database: Database) -> asyncpg.Connection[asyncpg.Record]:
    """A person at psql."""
    connection = await database.connect()
    await connection.execute("SET application_name = 'psql'")
    await connection.execute(MAKE)
    return connection


async def test_what_people_change_is_an_event(database: Database) -> None:
    """Login, application, kind, before and after, for each table that people change."""
    person = await operator_of(database)
    me = await person.fetchval("SELECT session_user::text")
    for kind, statement in PEOPLE:
        last = await person.fetchval("SELECT max(seq) FROM juggernaut.events")
        await person.execute("SELECT 1; " + statement)
        rows = await person.fetch(
            "SELECT * FROM juggernaut.events WHERE seq > $1 AND kind = $2", last, kind
        )
        assert rows, statement
        assert {(row["login"], row["application"]) for row in rows} == {(me, "psql")}
        row = rows[0]
        assert (row["before"] is None) == kind.endswith("insert"), statement
        assert (row["after"] is None) == kind.endswith("delete"), statement


async def test_only_what_changed_is_kept(database: Database) -> None:
    """One column changes, one column is written; what a function spends writes nothing."""
    person = await operator_of(database)
    await person.execute("UPDATE goals SET description = 'more' WHERE title = 'g'")
    row = await person.fetchrow(
        "SELECT before, after FROM juggernaut.events WHERE kind = 'goals.update'"
    )
    assert row is not None
    assert json.loads(row["before"]) == {"description": ""}
    assert json.loads(row["after"]) == {"description": "more"}
    count = "SELECT count(*) FROM juggernaut.events"
    before = await person.fetchval(count)
    await person.execute(  # as every function does
        "SET ROLE juggernaut_owner; UPDATE budgets SET spent_usd = 1; RESET ROLE"
    )
    assert await person.fetchval(count) == before


@pytest.fixture
async def sealed(database: Database) -> asyncpg.Connection[asyncpg.Record]:
    """A chain of two seals."""
    person = await operator_of(database)
    assert await person.fetchval("SELECT juggernaut.seal_audit()") > 0
    await person.execute("UPDATE goals SET description = 'more' WHERE title = 'g'")
    assert await person.fetchval("SELECT juggernaut.seal_audit()") > 0
    return person


async def command(database: Database, *argv: str) -> Ran:
    """Run a command beside this event loop."""
    return await asyncio.to_thread(run, database, *argv)


async def test_the_chain_is_the_same_in_every_time_zone(
    sealed: asyncpg.Connection[asyncpg.Record],
) -> None:
    """Times are hashed as UTC, whoever asks."""
    for zone in ("Asia/Tokyo", "America/New_York"):
        await sealed.execute(f"SET timezone = '{zone}'")
        assert await sealed.fetchval("SELECT ok FROM audit_verify()")


TAMPER = (
    ("was changed: goals.update", "UPDATE juggernaut.events SET login = 'x' WHERE seq = $1"),
    ("is gone", "DELETE FROM juggernaut.events WHERE seq = $1"),
    (
        "was added",
        "INSERT INTO juggernaut.events (xid, login, application, kind, subject)"
        " SELECT xid, 'x', 'x', 'x', 'x' FROM juggernaut.events WHERE seq = $1",
    ),
    (
        "seal of transactions",
        "UPDATE juggernaut.seals SET digest = sha256(digest) WHERE $1 = ANY (seqs)",
    ),
)


@pytest.mark.parametrize(("words", "statement"), TAMPER)
async def test_the_first_bad_row_is_named(
    database: Database, sealed: asyncpg.Connection[asyncpg.Record], words: str, statement: str
) -> None:
    """A superuser who goes around the triggers is found out, with exit code 1."""
    assert (await command(database, "audit", "verify")).code == 0
    seq = await sealed.fetchval("SELECT seq FROM juggernaut.events WHERE kind = 'goals.update'")
    await sealed.execute("ALTER TABLE juggernaut.events DISABLE TRIGGER append_only")
    await sealed.execute("ALTER TABLE juggernaut.seals DISABLE TRIGGER append_only")
    await sealed.execute(statement, seq)
    ran = await command(database, "audit", "verify")
    assert ran.code == 1
    assert words in ran.err
    assert (f"event {seq} " in ran.err) == (words in ("is gone", "was changed: goals.update"))


async def test_an_anchor_shows_a_chain_that_was_cut(
    database: Database, sealed: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    """A chain without its end is whole by itself, and does not hold the anchor."""
    anchor = tmp_path / "anchor.json"
    exported = await command(database, "audit", "export", "--json")
    anchor.write_text(exported.out)
    held = await command(database, "audit", "verify", "--anchor", str(anchor), "--json")
    assert (held.code, held.json()["anchor"]) == (0, True)
    await sealed.execute("UPDATE goals SET description = 'even more' WHERE title = 'g'")
    await sealed.fetchval("SELECT juggernaut.seal_audit()")
    grown = await command(database, "audit", "verify", "--anchor", str(anchor))
    assert grown.code == 0, "a chain that went on still holds it"
    await sealed.execute("ALTER TABLE juggernaut.events DISABLE TRIGGER append_only")
    await sealed.execute("ALTER TABLE juggernaut.seals DISABLE TRIGGER append_only")
    cut = "SELECT min(last_xid) FROM juggernaut.seals"
    await sealed.execute(f"DELETE FROM juggernaut.events WHERE xid > ({cut})")
    await sealed.execute(f"DELETE FROM juggernaut.seals WHERE last_xid > ({cut})")
    assert (await command(database, "audit", "verify")).code == 0
    ran = await command(database, "audit", "verify", "--anchor", str(anchor))
    assert ran.code == 1
    assert "cut or rewritten" in ran.err


async def test_a_file_that_is_no_anchor_is_said_so(database: Database, tmp_path: Path) -> None:
    """Neither a missing file, nor another one, nor one that tries SQL."""
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"xid": "1; DROP TABLE x", "digest": "", "count": 1}')
    for path in (wrong, tmp_path / "none.json"):
        ran = await command(database, "audit", "verify", "--anchor", str(path))
        assert ran.code == 2
        assert "anchor" in ran.err
    nothing = await command(database, "audit", "export")
    assert nothing.code == 1
    assert "nothing is sealed" in nothing.err


def test_the_list_says_what_is_sealed(database: Database) -> None:
    """Fresh events are visible as not sealed yet."""
    row = good(database, "task", "add", "Fix", "--type", "code")
    found = good(database, "audit", "list", "--of", row["id"][:8])
    assert [item["kind"] for item in found] == ["task.created"]
    assert found[0]["sealed"] is False
