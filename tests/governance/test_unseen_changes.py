"""No event lies beside the seals, and nothing that a person types goes without one."""

from __future__ import annotations

import asyncpg
import pytest

from juggernaut.adapters.postgres.queries import sql
from tests.fixtures_postgres import Database

FORGE = (
    "INSERT INTO juggernaut.events (seq, xid, login, application, kind, subject)"
    " OVERRIDING SYSTEM VALUE VALUES ($1, $2::text::xid8, 'alice', '', 'approval.approved', 'x')"
)
EMPTIED = (
    *("juggernaut.thresholds", "budgets", "controls", "juggernaut.login_types"),
    *("juggernaut.editors", "juggernaut.forge_people", "schedules", "alerts"),
)
KINDS = "SELECT kind FROM juggernaut.events ORDER BY seq DESC LIMIT 1"


@pytest.mark.parametrize(("seq", "xid"), [(-5, "0"), (-(2**63), "700")])
async def test_an_event_beside_the_seals_is_named(database: Database, seq: int, xid: str) -> None:
    """It is not called sealed either."""
    operator = await database.connect()
    await operator.execute("SELECT juggernaut.record_event('a', 'b', NULL, NULL)")
    await operator.execute("SELECT juggernaut.sweep_v1()")
    assert await operator.fetchval("SELECT ok FROM audit_verify()")
    await operator.execute(FORGE, seq, xid)
    await operator.execute("SELECT juggernaut.sweep_v1()")
    verified = await operator.fetchrow("SELECT ok, first_bad FROM audit_verify()")
    named = f"event {seq} lies under no seal: approval.approved of x by alice"
    assert verified is not None
    assert tuple(verified) == (False, named)
    listed = await operator.fetch(sql("list_events"), 1000, None)
    assert {row["login"]: row["sealed"] for row in listed}["alice"] is False
    assert sum(row["sealed"] for row in listed) == len(listed) - 1


async def test_what_was_said_stays_said(database: Database) -> None:
    """An operator who types feedback leaves an event, and changes none."""
    operator = await database.connect()
    say = "INSERT INTO juggernaut.sent_back VALUES (gen_random_uuid(), 1, 'rm -rf /', 'alice')"
    await operator.execute(say)
    assert await operator.fetchval(KINDS) == "sent_back.insert"
    for statement in ("UPDATE {} SET said = 'x'", "DELETE FROM {}", "TRUNCATE {}"):
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await operator.execute(statement.format("juggernaut.sent_back"))


async def test_nothing_is_emptied_without_an_event(database: Database) -> None:
    """Rows that are deleted have events; a TRUNCATE has none."""
    operator = await database.connect()
    for place in EMPTIED:
        with pytest.raises(asyncpg.PostgresError, match="is not emptied by TRUNCATE"):
            await operator.execute(f"TRUNCATE {place} CASCADE")


@pytest.mark.parametrize("change", ["assignment = 'w9'", "risk_factors = '{harmless}'"])
async def test_whom_a_task_is_for_and_why_it_is_risky(database: Database, change: str) -> None:
    """Typed by hand, each is an event."""
    operator = await database.connect()
    await operator.execute("INSERT INTO governance_tasks (title, task_type) VALUES ('t', 'test')")
    await operator.execute(f"UPDATE governance_tasks SET {change}")
    assert await operator.fetchval(KINDS) == "governance_tasks.update"
