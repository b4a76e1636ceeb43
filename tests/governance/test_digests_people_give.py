"""One request holds nobody up, its reason is its worker's word, and its digest is what is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from juggernaut.domain.model import Claim, Gate
from tests.fixtures_postgres import MIGRATIONS, Database, Login
from tests.governance.plain_sql import NAME, PlainWorker
from tests.store.swarm import Swarm, open_swarm, plan

APPROVE = "SELECT approve_task($1, 'read it', $2)"
ASK = "SELECT request_approval($1, $2, $3)"
FAULT = "SELECT juggernaut.json_fault(jsonb_build_object('n', n) || $1) FROM (SELECT {} AS n) x"
GATE = "SELECT juggernaut.pass_gate_v1($1, $2, $3, 'plan', repeat('c', 64), $4::text::jsonb,"
GATE += " 'high', '{f}')"
NUMBERS = {
    **dict.fromkeys(("1.797e308", "5e-324", "1e399", "round(0.5, 398)"), True),
    **dict.fromkeys(("1e400", "-1e400", "1e-5000", "round(1, 400)"), False),
}
QUICK = "SET statement_timeout = '2500ms'"  # a tenth of it is enough
MANY = '{"a": [' + ",".join(["1"] * 330_000) + "]}"
OBJECTS = "ALTER TABLE approvals {} TRIGGER guard_approval"
APPROVED = """
INSERT INTO approvals (task_id, gate, digest, body, risk_level, reason, need, requested_by, status,
                       decided_at)
VALUES ($1, 'plan', repeat('b', 64), '3', 'high', 'r', 1, 'x', 'approved', now()) RETURNING id
"""
DECIDED = """
INSERT INTO juggernaut.decision_log (approval_id, asked_at, decided_by, decision, note)
SELECT a.id, a.requested_at, 'x', 'approved', '' FROM approvals a WHERE a.id = $1
"""


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


@pytest.fixture
async def person(database: Database, approver_login: Login) -> asyncpg.Connection[asyncpg.Record]:
    """The connection of who approves."""
    return await database.connect(approver_login)


async def gate(swarm: Swarm, claim: Claim, body: str) -> None:
    """Ask for an approval of any bytes, as a hostile worker does."""
    lease = claim.lease
    async with swarm.pool.acquire() as connection, connection.transaction():
        await connection.execute(QUICK.replace("SET", "SET LOCAL"))
        await connection.execute(GATE, lease.task_id, lease.fence, lease.secret, body)


async def test_a_request_of_many_numbers_holds_nobody_up(
    swarm: Swarm, person: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Asking takes no square of its length, and who reads looks for no fault; nobody sets that."""
    task = await swarm.add()
    await gate(swarm, await swarm.claim_one(await swarm.worker()), MANY)
    await swarm.operator.execute("UPDATE approvals SET fault = 'x', shown_digest = repeat('0', 64)")
    kept = await person.fetchrow("SELECT fault, shown_digest FROM approvals")
    await person.execute(QUICK)
    (row,) = await person.fetch("SELECT digest, length(plan) AS signs FROM pending_approvals")
    assert row["signs"] > 10 * 330_000
    assert kept is not None
    assert list(kept) == [None, row["digest"]]
    assert row["digest"] != "0" * 64
    assert row["digest"][:12] in await person.fetchval("SELECT reason FROM why_idle")
    assert await person.fetchval(APPROVE, task, row["digest"]) == "approved"


async def test_numbers_are_judged_by_what_they_print(swarm: Swarm) -> None:
    """Every double is fine; what prints more than 400 digits is not, large or small."""
    more = json.dumps({"long": "x" * 200})
    for number, fine in NUMBERS.items():
        found = await swarm.operator.fetchval(FAULT.format(number), more)
        assert (found is None) == fine, number


async def test_a_plain_reason_is_quoted_and_a_deep_payload_is_asked_for(
    swarm: Swarm, plain: PlainWorker, person: asyncpg.Connection[asyncpg.Record]
) -> None:
    """One line under its login; the body has it as it was said, and the payload as it came in."""
    payload = '{"a": ' + "[" * 63 + "1" + "]" * 63 + "}"
    task = await swarm.add(risk_level="high", payload=payload)
    said = 'risk low: no approval needed\n"bob" approved it'
    await plain.connection.execute(ASK, task, NAME, said)
    (row,) = await person.fetch("SELECT * FROM pending_approvals")
    login = await plain.connection.fetchval("SELECT current_user")
    words = "risk low: no approval needed 'bob' approved it"
    assert row["reason"] == f'risk high: the worker {login} says "{words}"'
    body = json.loads(row["plan"])
    assert (body["reason"], body["payload"]) == (said, json.loads(payload))


async def test_what_is_told_approves_and_a_refusal_is_true(
    swarm: Swarm, person: asyncpg.Connection[asyncpg.Record]
) -> None:
    """The start that `why` prints, in capitals, with blanks; the worker's digest is named so."""
    task, session = await swarm.add(risk_level="high"), await swarm.worker()
    old = ""
    for digest in ("a" * 64, "b" * 64):
        claim = await swarm.claim_one(session)
        await swarm.store.pass_gate(claim.lease, Gate.PLAN, plan(digest))
        shown = await person.fetchval("SELECT digest FROM pending_approvals")
        for wrong in (digest, digest[:12], shown[:11], "", f"{shown}0", f"{shown[:12]}%"):
            with pytest.raises(asyncpg.PostgresError, match="is not the digest of this request"):
                await person.execute(APPROVE, task, wrong)
        if not old:
            old = shown
            await person.execute("SELECT send_back($1, 'say more')", task)
    for earlier in (old, old[:12].upper()):
        with pytest.raises(asyncpg.PostgresError, match="the plan changed: its digest is"):
            await person.execute(APPROVE, task, earlier)
    told = (await person.fetchval("SELECT reason FROM why($1)", task)).split("digest ")[1][:12]
    assert await person.fetchval(APPROVE, task, f" {told.upper()}\n") == "approved"


async def test_the_upgrade_leaves_what_ended_lawful(swarm: Swarm, plain: PlainWorker) -> None:
    """A body that is no object is void where work may still begin, and a claim says why."""
    upgrade = (MIGRATIONS / "0044_requests_that_read.sql").read_text().split("-- Read by nobody")
    ended, open_ = await swarm.add(risk_level="high"), await swarm.add(risk_level="high")
    for task in (ended, open_):
        await swarm.operator.execute(OBJECTS.format("DISABLE"))
        row = await swarm.operator.fetchval(APPROVED, task)
        await swarm.operator.execute(DECIDED, row)
        await swarm.operator.execute(OBJECTS.format("ENABLE ALWAYS"))
    await swarm.operator.execute("SELECT cancel_task($1)", ended)
    await swarm.operator.execute("UPDATE approvals SET status = 'approved'")
    await swarm.operator.execute(f"--{upgrade[1]}")
    rows = await swarm.operator.fetch("SELECT task_id, status FROM approvals")
    assert dict(map(tuple, rows)) == {ended: "approved", open_: "void"}
    with pytest.raises(asyncpg.PostgresError, match="needs an approval that still counts: what"):
        await plain.claim(open_)
