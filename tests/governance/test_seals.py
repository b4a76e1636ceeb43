"""The audit chain goes on: of any size, whoever holds a transaction, wherever it is restored."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from tests.app.commands import good, run
from tests.fixtures_postgres import Database, fresh_login

Hand: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SEAL = "SELECT juggernaut.seal_audit()"
MAKE = (
    "INSERT INTO juggernaut.events (login, application, kind, subject, after)"
    " SELECT 'a', 'b', 'c', n::text, $2::jsonb FROM generate_series(1, $1) n"
)
# What 0013 sealed: one text of all rows.
OLD_SEAL = """
INSERT INTO juggernaut.seals (last_xid, rows_sealed, digest, seqs, marks)
SELECT (array_agg(e.xid ORDER BY e.xid DESC))[1], count(*),
       sha256($1 || convert_to(string_agg(t.text, E'\\n' ORDER BY e.xid, e.seq), 'UTF8')),
       array_agg(e.seq ORDER BY e.xid, e.seq),
       array_agg(substring(sha256(convert_to(t.text, 'UTF8')) FROM 1 FOR 8) ORDER BY e.xid, e.seq)
  FROM juggernaut.events e CROSS JOIN LATERAL (SELECT jsonb_build_array(e.seq, e.at, e.login,
    e.application, e.kind, e.subject, e.before, e.after)::text) t (text)
 WHERE NOT EXISTS (SELECT FROM juggernaut.seals s WHERE s.last_xid >= e.xid)
RETURNING digest
"""
OFF = """
ALTER TABLE juggernaut.events DISABLE TRIGGER append_only;
ALTER TABLE juggernaut.seals DISABLE TRIGGER append_only;
"""
# As if all of it had been written in a cluster that lived for longer.
MOVED = """
UPDATE juggernaut.events SET xid = (xid::text::bigint + {0})::text::xid8;
UPDATE juggernaut.seals SET last_xid = (last_xid::text::bigint + {0})::text::xid8
 WHERE last_xid <> '0';
"""
FAR = 10**12
LONG_SECONDS = 240
THRESHOLD = "UPDATE juggernaut.thresholds SET value = $2 WHERE name = $1"
OPEN = "SELECT count(*) FROM alerts WHERE kind = 'audit_unsealed' AND resolved_at IS NULL"


@pytest.fixture
async def operator(database: Database) -> Hand:
    """A superuser whom no trigger holds."""
    connection = await database.connect()
    await connection.execute(OFF)
    await connection.execute("SET timezone = 'UTC'")
    return connection


async def verified(operator: Hand) -> tuple[bool, int, int, str | None]:
    """Verify: whether it holds, the sealed and unsealed rows, the first bad one."""
    row = await operator.fetchrow("SELECT * FROM audit_verify()")
    assert row is not None
    return row["ok"], row["sealed"], row["unsealed"], row["first_bad"]


async def sealed(operator: Hand, rows: int, after: object = None) -> int:
    """Write so many events in one transaction, seal, and give the seals."""
    await operator.execute(MAKE, rows, json.dumps(after))
    await operator.fetchval(SEAL)
    found: int = await operator.fetchval("SELECT count(*) FROM juggernaut.seals")
    return found


@pytest.mark.timeout(LONG_SECONDS)
async def test_no_size_stops_the_sealing(operator: Hand) -> None:
    """The text of one transaction's events is longer than any string of the server may be."""
    await operator.execute(
        "INSERT INTO juggernaut.events (login, application, kind, subject, after) SELECT 'a', 'b',"
        " 'c', 'd', jsonb_build_object('x', repeat('x', 18000000)) FROM generate_series(1, 60)"
    )
    for _ in range(LONG_SECONDS):
        if not await operator.fetchval(SEAL):
            break
    assert (await verified(operator))[::2] == (True, 0)


async def test_a_transaction_has_more_than_one_seal(operator: Hand) -> None:
    """And what is put between its rows, or behind them, is found."""
    await operator.fetchval(SEAL)
    count = await operator.fetchval("SELECT count(*) FROM juggernaut.seals")
    assert await sealed(operator, 12_001) == count + 3
    assert (await verified(operator))[::2] == (True, 0)
    xid = await operator.fetchval("SELECT max(xid::text::bigint)::text FROM juggernaut.events")
    await operator.execute(
        "INSERT INTO juggernaut.events (xid, login, application, kind, subject)"
        " VALUES ($1::text::xid8, 'x', 'x', 'x', 'x')",
        xid,
    )
    ok, _, _, bad = await verified(operator)
    assert not ok
    assert "was added: x of x by x" in str(bad)
    await operator.execute("DELETE FROM juggernaut.events WHERE kind = 'x'")
    await operator.execute("DELETE FROM juggernaut.events WHERE subject = '5000' AND kind = 'c'")
    assert "is gone" in str((await verified(operator))[3])


async def test_older_seals_hold(operator: Hand, database: Database, tmp_path: Path) -> None:
    """With their anchors, before and after new ones; a change under them is named."""
    first = await operator.fetchval(OLD_SEAL, b"")
    await operator.execute(MAKE, 3, "{}")
    await operator.fetchval(OLD_SEAL, first)
    anchor = tmp_path / "anchor.json"
    anchor.write_text(json.dumps(await asyncio.to_thread(good, database, "audit", "export")))
    assert await sealed(operator, 2) == 3
    assert (await verified(operator))[::2] == (True, 0)
    verify = ("audit", "verify", "--anchor", str(anchor))
    assert (await asyncio.to_thread(run, database, *verify)).code == 0
    await operator.execute(MOVED.format(FAR))
    assert await sealed(operator, 1) == 5
    assert (await verified(operator))[::2] == (True, 0)
    for mend, statement in (("2", "'x'"), ("x", "'2'")):
        await operator.execute(
            f"UPDATE juggernaut.events SET subject = {statement} WHERE seq ="
            " (SELECT min(seq) FROM juggernaut.events WHERE kind = 'c' AND subject = $1)",
            mend,
        )
        assert (await verified(operator))[0] == (mend == "x")


@pytest.mark.parametrize("known", [False, True])
async def test_a_restored_chain_goes_on(
    operator: Hand, database: Database, tmp_path: Path, known: bool
) -> None:
    """What was sealed, what was not yet, and what came since; every time it is restored."""
    await sealed(operator, 3)
    anchor = tmp_path / "anchor.json"
    anchor.write_text(json.dumps(await asyncio.to_thread(good, database, "audit", "export")))
    for epoch in (2, 3):
        await operator.execute(MAKE, 2, "{}")  # was not sealed before the dump
        # Where the server says which cluster it is, the few transactions in between do not hide it.
        shift = 4 if known else FAR
        await operator.execute(MOVED.format(shift))
        kept = json.loads(anchor.read_text())  # a real restore keeps what the seals say
        anchor.write_text(json.dumps({**kept, "xid": str(int(kept["xid"]) + shift)}))
        if known:
            await operator.execute("UPDATE juggernaut.seals SET cluster = 'another'")
        assert (await verified(operator))[::2] == (True, 2)
        for _ in range(9 if known else 1):
            await operator.execute(MAKE, 1, "{}")
        ok, _, unsealed, bad = await verified(operator)
        assert (ok, bad) == (True, None), "before the first sweep"
        assert unsealed > 2
        assert await operator.fetchval(SEAL) == unsealed
        assert (await verified(operator))[::2] == (True, 0)
        await sealed(operator, 2)
        assert (await verified(operator))[::2] == (True, 0)
        assert epoch == await operator.fetchval("SELECT max(epoch) FROM juggernaut.seals")
        verify = ("audit", "verify", "--anchor", str(anchor))
        assert (await asyncio.to_thread(run, database, *verify)).code == 0
        anchor.write_text(json.dumps(await asyncio.to_thread(good, database, "audit", "export")))
    listed = await asyncio.to_thread(good, database, "audit", "list")
    assert all(row["sealed"] for row in listed)


OLD, NEW = (
    "(SELECT seq FROM juggernaut.events WHERE subject = '1' ORDER BY seq " + way + " LIMIT 1)"
    for way in ("", "DESC")
)
ADD = (
    "INSERT INTO juggernaut.events (seq, xid, login, application, kind, subject) OVERRIDING SYSTEM"
    " VALUE SELECT {0}, e.xid, 'x', 'x', 'x', 'x' FROM juggernaut.events e WHERE e.seq = {1}"
)
FRESH = "(SELECT max(seq) + 1 FROM juggernaut.events)"
TAMPER = (
    ("was changed", f"UPDATE juggernaut.events SET login = 'x' WHERE seq = {OLD}"),
    ("was changed", f"UPDATE juggernaut.events SET login = 'x' WHERE seq = {NEW}"),
    ("is gone", f"DELETE FROM juggernaut.events WHERE seq = {OLD}"),
    ("is gone", f"DELETE FROM juggernaut.events WHERE seq = {NEW}"),
    ("was added", ADD.format("-1", OLD)),
    ("was added", ADD.format("$gap", OLD)),
    ("was added", ADD.format("$gap", NEW)),
    ("was added", ADD.format(FRESH, NEW)),
    (
        "was added",
        f"INSERT INTO juggernaut.events (seq, xid, login, application, kind, subject)"
        f" OVERRIDING SYSTEM VALUE VALUES ($gap, '{10**15}', 'x', 'x', 'x', 'x')",
    ),
    (
        "is gone",
        "UPDATE juggernaut.seals SET after_seq = after_seq - 1 WHERE epoch = 2 AND last_xid = '0'",
    ),
    (
        "itself was changed",
        "UPDATE juggernaut.seals SET after_seq = after_seq + 1 WHERE epoch = 2 AND last_xid = '0'",
    ),
    (
        "itself was changed",
        "UPDATE juggernaut.seals SET digest = sha256(digest) WHERE epoch = 2 AND last_xid = '0'",
    ),
)


@pytest.mark.parametrize(("words", "statement"), TAMPER)
async def test_tampering_is_found_on_both_sides_of_a_restore(
    operator: Hand, words: str, statement: str
) -> None:
    """Changed, taken away and added rows, whatever number they are given, and the border."""
    await operator.execute(MAKE, 2, "{}")
    gap = await operator.fetchval(
        "SELECT nextval(pg_get_serial_sequence('juggernaut.events', 'seq'))"
    )
    await sealed(operator, 2)
    await operator.execute(MOVED.format(FAR))
    await operator.fetchval("SELECT nextval(pg_get_serial_sequence('juggernaut.events', 'seq'))")
    await sealed(operator, 2)
    await sealed(operator, 2)
    assert (await verified(operator))[::2] == (True, 0)
    await operator.execute(statement.replace("$gap", str(gap)))
    ok, _, _, bad = await verified(operator)
    assert not ok
    assert words in str(bad)


async def test_what_was_added_in_the_own_cluster_begins_no_epoch(operator: Hand) -> None:
    """An old transaction with a new number is a forged row and no restore."""
    await sealed(operator, 2)
    await operator.execute(ADD.format(FRESH, OLD))
    await operator.fetchval(SEAL)
    assert "was added" in str((await verified(operator))[3])


async def test_a_reader_does_not_stop_the_sealing(database: Database, operator: Hand) -> None:
    """Its transaction has a number that it never needs; one without a number is left alone."""
    await operator.execute(THRESHOLD, "transaction_seconds", 1)
    async with (
        fresh_login(database, "juggernaut_reader") as login,
        fresh_login(database, "juggernaut_approver") as person,
    ):
        hands = [await database.connect(who) for who in (login, login, person)]
        for number, hand in enumerate(hands):
            await hand.execute("BEGIN")
            await hand.execute("SELECT pg_current_xact_id()" if number else "SELECT 1")
        await operator.execute(MAKE, 1, "{}")
        await asyncio.sleep(1.1)
        await operator.fetchval("SELECT juggernaut.sweep_v1()")
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await hands[1].execute("COMMIT")
        for hand in (hands[0], hands[2]):
            await hand.execute("COMMIT")
        await operator.fetchval("SELECT juggernaut.sweep_v1()")
        assert (await verified(operator))[2] == 0


async def test_what_is_not_sealed_for_long_is_said(database: Database, operator: Hand) -> None:
    """Somebody's open transaction keeps it; with its end the alert is resolved."""
    async with fresh_login(database, "juggernaut_approver") as login:
        person = await database.connect(login)
        await person.execute("BEGIN")
        await person.execute("SELECT pg_current_xact_id()")
        await operator.execute(MAKE, 1, "{}")
        await operator.fetchval("SELECT juggernaut.sweep_v1()")
        assert await operator.fetchval(OPEN) == 0
        await operator.execute(THRESHOLD, "unsealed_seconds", 0)
        await operator.fetchval("SELECT juggernaut.sweep_v1()")
        assert await operator.fetchval(OPEN) == 1
        await person.execute("COMMIT")
        await operator.execute(THRESHOLD, "unsealed_seconds", 900)
        await operator.fetchval("SELECT juggernaut.sweep_v1()")
        assert await operator.fetchval(OPEN) == 0
