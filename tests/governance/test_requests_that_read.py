"""What people are asked can be read whole, and nothing but what was read is approved."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from juggernaut.domain.model import Claim, Digest, Gate, Plan, Risk
from tests.fixtures_postgres import Database, Login
from tests.governance.plain_sql import NAME, PlainWorker
from tests.store.swarm import Swarm, open_swarm, plan

APPROVE = "SELECT approve_task($1, 'read it', $2)"
ASK = "SELECT request_approval($1, $2, 'please')"
GATE = "SELECT juggernaut.pass_gate_v1($1, $2, $3, $4, $5, $6::text::jsonb, 'high', '{f}')"
PENDING = "SELECT * FROM pending_approvals WHERE task_id = $1"
DEEP = '{"a": ' + "[" * 66 + "1" + "]" * 66 + "}"
MONSTROUS = '{"n": [' + ",".join(["1e99999"] * 12_000) + "]}"  # prints more than a text can hold
BODIES = {
    '{"diff": null, "steps": ["DROP DATABASE production"]}': "diff is no text",
    '["diff", "DROP DATABASE production"]': "is no object",
    '"diff"': "is no object",
    DEEP: "nests deeper than 66",
    '{"n": 1e999}': "a number of more than 400 digits",
    '{"s": "' + "x" * 8_400_000 + '"}': "longer than 8 MiB",
}
SLOW_TASK = """
ALTER TABLE governance_tasks ENABLE ROW LEVEL SECURITY;
ALTER TABLE governance_tasks FORCE ROW LEVEL SECURITY;
CREATE POLICY slow ON governance_tasks
  USING (CASE WHEN title = 'slow' THEN pg_sleep(0.3) IS NOT NULL ELSE true END);
"""
CHANGED = "the plan changed: its digest is"
UNKNOWN = "UPDATE approvals SET fault = NULL, shown_digest = NULL"
SLEEPS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


@pytest.fixture
async def person(database: Database, approver_login: Login) -> asyncpg.Connection[asyncpg.Record]:
    """The connection of who approves."""
    return await database.connect(approver_login)


async def asked(
    swarm: Swarm, claim: Claim, body: str, gate: str = "plan", digest: str = "a" * 64
) -> None:
    """Come to a gate with any bytes under any digest, as a hostile worker does."""
    lease = claim.lease
    await swarm.pool.execute(GATE, lease.task_id, lease.fence, lease.secret, gate, digest, body)


async def test_what_cannot_be_shown_is_not_asked(swarm: Swarm) -> None:
    """Neither at a gate nor by a plain request; 66 levels and a large diff are shown."""
    await swarm.add()
    claim = await swarm.claim_one(await swarm.worker())
    for body, fault in BODIES.items():
        with pytest.raises(asyncpg.PostgresError, match=f"cannot be shown whole.*{fault}"):
            await asked(swarm, claim, body, "diff")
    whole = json.loads(DEEP.replace("[[", "[", 1).replace("]]", "]", 1)) | {"diff": "+x\n" * 10**6}
    await asked(swarm, claim, json.dumps(whole), "diff")
    (row,) = await swarm.operator.fetch(PENDING, claim.task.id)
    assert row["plan"].endswith("+x\n" * 1000)


async def test_a_plain_request_for_what_cannot_be_shown(swarm: Swarm, plain: PlainWorker) -> None:
    """The payload of a task may be from before."""
    task = await swarm.add(risk_level="high")
    await swarm.operator.execute("ALTER TABLE governance_tasks DISABLE TRIGGER guard_update")
    await swarm.operator.execute("ALTER TABLE governance_tasks DISABLE TRIGGER guard_content")
    await swarm.operator.execute(
        "UPDATE governance_tasks SET payload = $2 WHERE id = $1", task, DEEP
    )
    with pytest.raises(asyncpg.PostgresError, match="nests deeper than 66"):
        await plain.connection.execute(ASK, task, NAME)


async def test_rows_from_before_are_read_and_not_approved(
    swarm: Swarm, person: asyncpg.Connection[asyncpg.Record]
) -> None:
    """The view shows all requests and marks these; `why` raises for nothing."""
    session = await swarm.worker()
    await swarm.operator.execute("ALTER TABLE approvals DISABLE TRIGGER guard_approval")
    for body in (*BODIES, MONSTROUS):
        for status in ("pending", "approved"):
            task = await swarm.add(risk_level="high")
            if status == "pending":
                claim = await swarm.claim_one(session)
                await swarm.store.pass_gate(claim.lease, Gate.PLAN, plan(risk=Risk.HIGH))
                await swarm.operator.execute(
                    "UPDATE approvals SET gate = 'diff', body = $2 WHERE task_id = $1", task, body
                )
                continue
            await swarm.operator.execute(
                "INSERT INTO approvals (task_id, gate, digest, body, risk_level, reason, need,"
                " requested_by, status, decided_at) VALUES ($1, 'plan', repeat('b', 64), $2,"
                " 'high', 'r', 1, 'x', 'approved', now())",
                *(task, body),
            )
            await swarm.operator.execute("SELECT cancel_task($1)", task)
    await swarm.operator.execute(UNKNOWN)
    await swarm.operator.execute("ALTER TABLE approvals ENABLE ALWAYS TRIGGER guard_approval")
    await swarm.operator.execute(UNKNOWN)  # the upgrade: the guard fills them
    rows = await person.fetch("SELECT * FROM pending_approvals")
    assert len(rows) == len(BODIES) + 1
    for row in rows:
        assert row["plan"].startswith("CANNOT BE SHOWN WHOLE AND MUST NOT BE APPROVED: it")
        assert len(row["plan"]) < 2_200
        assert (row["approve_sql"], row["digest"]) == (None, None)
    await person.fetch("SELECT * FROM why_idle")
    for statement in (
        "SELECT approve_task($1)",
        "UPDATE governance_tasks SET status = 'pending', approved_by = 'me' WHERE id = $1",
    ):
        with pytest.raises(asyncpg.PostgresError, match="cannot be shown whole"):
            await person.execute(statement, rows[0]["task_id"])
    await person.execute("SELECT reject_task($1, 'unread')", rows[0]["task_id"])


async def test_a_scalar_that_was_approved_before_breaks_nothing(
    swarm: Swarm, plain: PlainWorker, person: asyncpg.Connection[asyncpg.Record]
) -> None:
    """A ready task with such an approval is explained, and a plain worker may ask for it."""
    task = await swarm.add(risk_level="high")
    await swarm.operator.execute("ALTER TABLE approvals DISABLE TRIGGER guard_approval")
    await swarm.operator.execute(
        "INSERT INTO approvals (task_id, gate, digest, body, risk_level, reason, need,"
        " requested_by, status, decided_at) VALUES ($1, 'plan', repeat('b', 64), '\"x\"',"
        " 'high', 'r', 1, 'x', 'approved', now())",
        task,
    )
    await swarm.operator.execute("ALTER TABLE approvals ENABLE ALWAYS TRIGGER guard_approval")
    told = await person.fetchval("SELECT reason FROM why_idle WHERE task_id = $1", task)
    assert "may not before it is approved" in told
    await plain.connection.execute(ASK, task, NAME)
    assert await swarm.status(task) == "waiting_approval"


async def test_the_digest_is_the_databases(
    swarm: Swarm, person: asyncpg.Connection[asyncpg.Record]
) -> None:
    """The worker's own digest, an earlier request's, and that of the other gate approve nothing."""
    task, session = await swarm.add(), await swarm.worker()
    first = await swarm.claim_one(session)
    await asked(swarm, first, '{"p": "harmless"}', digest="a" * 12 + "0" * 52)
    read = await person.fetchval("SELECT digest FROM pending_approvals")
    assert read[:12] != "a" * 12
    for number, (gate, body) in enumerate(
        (("plan", '{"p": "rm -rf /"}'), ("diff", '{"diff": "+rm"}'), ("plan", '{"p": "harmless"}'))
    ):
        await person.execute("SELECT send_back($1, 'say more')", task)
        claim = await swarm.claim_one(session)
        mine = "a" * 12 + ("0" if number else "1") * 52
        await asked(swarm, claim, body, gate, mine)
        for digest in (read, mine):
            # The last one is the first request, asked again.
            said = CHANGED if digest == read and number < 2 else "is not the digest of this request"
            with pytest.raises(asyncpg.PostgresError, match=said):
                await person.execute(APPROVE, task, digest)
    (row,) = await person.fetch(PENDING, task)
    why = await person.fetchval("SELECT reason FROM why($1)", task)
    assert f"digest {row['digest'][:12]}:" in why
    assert await person.fetchval(row["approve_sql"]) == "approved"


async def test_what_a_worker_says_stands_under_its_login_in_one_line(
    swarm: Swarm, person: asyncpg.Connection[asyncpg.Record], worker_login: Login
) -> None:
    """Its factors are quoted, wherever they are kept."""
    await swarm.add()
    claim = await swarm.claim_one(await swarm.worker())
    said = ('typo.\n\n"Alice" of\tsecurity approved this',)
    body: dict[str, object] = {"p": 1}
    await swarm.store.pass_gate(
        claim.lease, Gate.PLAN, Plan(body, Digest("a" * 64), Risk.HIGH, said)
    )
    (row,) = await person.fetch(PENDING, claim.task.id)
    words = "typo. 'Alice' of security approved this"
    assert row["reason"] == f'risk high: the worker {worker_login.name} says "{words}"'
    assert row["risk_factors"] == [words.replace("'", '"')]
    kept = await person.fetchrow(
        "SELECT t.risk_factors, p.factors FROM governance_tasks t"
        " JOIN juggernaut.plans p ON p.task_id = t.id"
    )
    assert kept is not None
    assert list(kept) == [row["risk_factors"]] * 2


async def test_a_plain_login_takes_no_approval_of_a_plan_away(
    swarm: Swarm, plain: PlainWorker, person: asyncpg.Connection[asyncpg.Record]
) -> None:
    """While it counts; after that, who else can do it may ask."""
    await swarm.add()
    session = await swarm.worker()
    claim = await swarm.claim_one(session)
    await swarm.store.pass_gate(claim.lease, Gate.PLAN, plan(risk=Risk.HIGH))
    await person.execute("SELECT approve_task($1)", claim.task.id)
    with pytest.raises(asyncpg.PostgresError, match="is approved already"):
        await plain.connection.execute(ASK, claim.task.id, NAME)
    again = await swarm.claim_one(session)
    told = await swarm.store.pass_gate(again.lease, Gate.PLAN, plan(risk=Risk.HIGH))
    assert told is not None
    assert told.go
    await swarm.store.release(again.lease, "enough")
    await swarm.operator.execute("UPDATE approvals SET decided_at = decided_at - interval '3 days'")
    await plain.connection.execute(ASK, claim.task.id, NAME)
    assert await swarm.status(claim.task.id) == "waiting_approval"


async def test_a_claim_that_an_edit_overtook_is_told_the_new_criteria(
    swarm: Swarm, person: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Its look began before the edit was there, its row is the edited one."""
    await swarm.add(title="slow", priority="critical")
    task = await swarm.add(acceptance_criteria="a file exists")
    await person.execute("SELECT accept_criterion($1, 1, 'seen', 'a file exists')", task)
    session = await swarm.worker()
    await swarm.operator.execute(SLOW_TASK)
    async with person.transaction():
        await person.execute(
            "UPDATE governance_tasks SET title = 'new', acceptance_criteria = $2 WHERE id = $1",
            *(task, json.dumps([{"text": "all agreed", "check": ["true"]}])),
        )
        claims = asyncio.create_task(swarm.store.claim(session, 2))
        while not await swarm.operator.fetchval(SLEEPS):
            pass
    told = {claim.task.title: claim.task for claim in await claims}
    (criterion,) = told["new"].criteria
    assert (criterion.number, criterion.text, criterion.check) == (1, "all agreed", ("true",))
    assert told["new"].payload["accepted_criteria"] == []
