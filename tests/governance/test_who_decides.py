"""Who counts as having decided: in time, still entitled, and not whoever proposed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.errors import LawRefused
from juggernaut.domain.model import Claim, Risk
from tests.fixtures_postgres import Database, Login, fresh_login
from tests.flow.pull_people import LocalPeople
from tests.governance.conftest import bench
from tests.governance.plain_sql import NAME, PlainWorker
from tests.governance.test_forge_reviews import approver_of, at_the_diff_gate
from tests.roles.bench import Bench
from tests.store.swarm import GATE, Swarm, command_completion, open_swarm, plan

__all__ = ["bench"]

APPROVE = "SELECT approve_task($1)"
ASK = "SELECT request_approval($1, $2, $3)"
HAVE = "SELECT have FROM pending_approvals WHERE task_id = $1"
THREE_DAYS_LATER = """
ALTER TABLE juggernaut.decision_log DISABLE TRIGGER append_only;
UPDATE juggernaut.decision_log SET decided_at = decided_at - interval '3 days';
ALTER TABLE juggernaut.decision_log ENABLE ALWAYS TRIGGER append_only
"""
SCHEDULE = """
INSERT INTO schedules (name, cron, title, task_type, next_run_at)
VALUES ('nightly', '0 3 * * *', 'deploy', 'command', '2026-01-01')
"""
FIRE = "SELECT juggernaut.fire_schedule_v1('nightly', '2026-01-01', now() + interval '1 day')"


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


@pytest.fixture
async def second_login(database: Database) -> AsyncIterator[Login]:
    """The login of a second approver."""
    async with fresh_login(database, "juggernaut_approver") as login:
        yield login


@pytest.fixture
async def one(database: Database, approver_login: Login) -> asyncpg.Connection[asyncpg.Record]:
    """The connection of a person who approves."""
    return await database.connect(approver_login)


@pytest.fixture
async def other(database: Database, second_login: Login) -> asyncpg.Connection[asyncpg.Record]:
    """The connection of a second one."""
    return await database.connect(second_login)


async def at_the_gate(swarm: Swarm, risk: Risk = Risk.CRITICAL) -> Claim:
    """Let the one task that can be claimed wait for an approval of its plan."""
    claim = await swarm.claim_one(await swarm.worker())
    decision = await swarm.store.pass_gate(claim.lease, GATE, plan(risk=risk))
    assert decision is not None
    assert not decision.go
    return claim


async def test_a_decision_does_not_wait_for_ever(
    swarm: Swarm,
    one: asyncpg.Connection[asyncpg.Record],
    other: asyncpg.Connection[asyncpg.Record],
) -> None:
    """The first of two is too old when the second comes; whoever gave it may say it again."""
    task = await swarm.add(risk_level="critical")
    await at_the_gate(swarm)
    await one.execute(APPROVE, task)
    assert await one.fetchval(HAVE, task) == 1
    await swarm.operator.execute(THREE_DAYS_LATER)
    assert await one.fetchval(HAVE, task) == 0
    await other.execute(APPROVE, task)
    assert await swarm.status(task) == "waiting_approval"
    assert await one.fetchval(HAVE, task) == 1
    await other.execute(APPROVE, task)
    assert await swarm.status(task) == "waiting_approval", "one person twice is one"
    assert await one.fetchval(APPROVE, task) == "approved"
    said = await swarm.operator.fetchval("SELECT count(*) FROM juggernaut.decisions")
    assert said == len((one, other)), "the last word of each"
    assert await swarm.operator.fetch("SELECT * FROM law_violations") == []


async def test_an_approval_is_as_old_as_its_oldest_decision(
    swarm: Swarm,
    one: asyncpg.Connection[asyncpg.Record],
    other: asyncpg.Connection[asyncpg.Record],
) -> None:
    """So that whatever looks at its age sees it end with the first of the two."""
    task = await swarm.add(risk_level="critical")
    await at_the_gate(swarm)
    await one.execute(APPROVE, task)
    await other.execute(APPROVE, task)
    found = await swarm.operator.fetchval(
        "SELECT a.decided_at = (SELECT min(d.decided_at) FROM juggernaut.decision_log d)"
        " FROM approvals a WHERE a.status = 'approved'"
    )
    assert found


@pytest.mark.parametrize(
    "change",
    ['REVOKE juggernaut_approver FROM "{}"', 'GRANT juggernaut_plain TO "{}"'],
    ids=["revoked", "a worker now"],
)
async def test_who_may_not_decide_any_more_does_not_count(
    swarm: Swarm,
    approver_login: Login,
    one: asyncpg.Connection[asyncpg.Record],
    other: asyncpg.Connection[asyncpg.Record],
    change: str,
) -> None:
    """Neither while the second decision is awaited."""
    task = await swarm.add(risk_level="critical")
    await at_the_gate(swarm)
    await one.execute(APPROVE, task)
    await swarm.operator.execute(change.format(approver_login.name))
    await other.execute(APPROVE, task)
    assert await swarm.status(task) == "waiting_approval"
    assert await other.fetchval(HAVE, task) == 1


async def test_a_gate_that_such_a_person_opened_is_shut(
    swarm: Swarm, approver_login: Login, one: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Nor afterwards: nothing is completed with it, and people are asked again."""
    task = await swarm.add(risk_level="high")
    await at_the_gate(swarm, Risk.HIGH)
    await one.execute(APPROVE, task)
    claim = await swarm.claim_one(await swarm.worker())
    await swarm.operator.execute(f'REVOKE juggernaut_approver FROM "{approver_login.name}"')
    with pytest.raises(LawRefused, match="cannot be completed"):
        await swarm.store.complete(claim.lease, command_completion())
    decision = await swarm.store.pass_gate(claim.lease, GATE, plan(risk=Risk.HIGH))
    assert decision is not None
    assert not decision.go
    assert await swarm.status(task) == "waiting_approval"


async def test_a_role_that_was_put_on_is_no_other_person(
    swarm: Swarm, one: asyncpg.Connection[asyncpg.Record]
) -> None:
    """An operator adds a task as juggernaut_approver, and approves it as the operator."""
    await swarm.operator.execute("SET ROLE juggernaut_approver")
    task = await swarm.add(risk_level="high")
    await swarm.operator.execute("RESET ROLE")
    await at_the_gate(swarm, Risk.HIGH)
    with pytest.raises(asyncpg.PostgresError, match="under the role juggernaut_approver"):
        await swarm.operator.execute(APPROVE, task)
    assert await one.fetchval(APPROVE, task) == "approved"


async def fired(swarm: Swarm) -> UUID:
    """Fire the schedule as a worker, and let its task wait."""
    await swarm.operator.execute("UPDATE juggernaut.task_types SET risk_floor = 'high'")
    assert await swarm.pool.fetchval(FIRE)
    return (await at_the_gate(swarm, Risk.HIGH)).task.id


async def test_the_author_of_a_schedule_proposes_its_tasks(
    swarm: Swarm, one: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Whichever worker's login fires it, and whoever the row names as its creator."""
    await swarm.operator.execute(SCHEDULE)
    await swarm.operator.execute("UPDATE schedules SET created_by = 'nobody', authors = '{}'")
    task = await fired(swarm)
    with pytest.raises(asyncpg.PostgresError, match="changed task"):
        await swarm.operator.execute(APPROVE, task)
    assert await one.fetchval(APPROVE, task) == "approved"


async def test_who_changed_a_schedule_is_an_author(
    swarm: Swarm,
    database: Database,
    approver_login: Login,
    one: asyncpg.Connection[asyncpg.Record],
    other: asyncpg.Connection[asyncpg.Record],
) -> None:
    """A second operator, who wrote what it says now."""
    await swarm.operator.execute(SCHEDULE)
    await swarm.operator.execute(f'GRANT juggernaut_owner TO "{approver_login.name}"')
    await one.execute("UPDATE schedules SET title = 'deploy what I say'")
    task = await fired(swarm)
    with pytest.raises(asyncpg.PostgresError, match="changed task"):
        await one.execute(APPROVE, task)
    assert await other.fetchval(APPROVE, task) == "approved"


async def test_a_schedule_goes_on_after_a_time_that_was_taken(swarm: Swarm) -> None:
    """The key of one firing belongs to another task: an alert says so, and the next one comes."""
    await swarm.operator.execute(SCHEDULE)
    await swarm.operator.execute(
        "INSERT INTO governance_tasks (title, task_type, dedupe_key)"
        " SELECT 'mine', 'test', format('schedule:%s:%s', name, next_run_at) FROM schedules"
    )
    assert not await swarm.pool.fetchval(FIRE)
    assert await swarm.operator.fetchval("SELECT next_run_at > now() FROM schedules")
    title = await swarm.operator.fetchval(
        "SELECT title FROM open_alerts WHERE kind = 'schedule_skipped'"
    )
    assert "exists already" in title
    kinds = await swarm.operator.fetch("SELECT kind FROM juggernaut.events")
    assert "schedule.skipped" in {row["kind"] for row in kinds}


async def test_what_is_approved_is_not_asked_again(
    swarm: Swarm, plain: PlainWorker, one: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Asking again would take a fresh approval away; when it is too old it is asked for."""
    task = await swarm.add(task_type="test", risk_level="high")
    await plain.connection.execute(ASK, task, NAME, "why")
    await one.execute(APPROVE, task)
    with pytest.raises(asyncpg.PostgresError, match="is approved as it stands"):
        await plain.connection.execute(ASK, task, NAME, "why not again")
    await swarm.operator.execute(THREE_DAYS_LATER)
    await plain.connection.execute(ASK, task, NAME, "why not again")
    assert await swarm.status(task) == "waiting_approval"


async def test_a_mapped_login_that_became_a_worker_reviews_nothing(bench: Bench) -> None:
    """Its review at the forge is no approval any more."""
    task = await at_the_diff_gate(bench)
    login, people = await approver_of(bench), LocalPeople(bench)
    await bench.operator.execute("SELECT map_forge_login($1, $1, 'local')", login)
    await bench.operator.execute(
        "UPDATE juggernaut.thresholds SET value = 1 WHERE name = 'forge_reviews_approve'"
    )
    head = (await people.pull(task)).head_sha
    report = bench.services.store.report_review
    await bench.operator.execute(f'GRANT juggernaut_plain TO "{login}"')
    assert await report(task, "local", login, head, "1") == "no"
    await bench.operator.execute(f'REVOKE juggernaut_plain FROM "{login}"')
    assert await report(task, "local", login, head, "1") == "approved"


async def test_a_reason_is_that_of_the_rule(
    swarm: Swarm,
    plain: PlainWorker,
    one: asyncpg.Connection[asyncpg.Record],
    worker_login: Login,
) -> None:
    """What a worker wrote on its task is shown as somebody's words, and as one line."""
    task = await swarm.add()
    for change in (
        f"status = 'in_progress', assigned_worker = '{NAME}'",
        """approval_reason = E'Alice "approved"\\nthis'""",
        "status = 'pending'",
    ):
        await plain.connection.execute(f"UPDATE governance_tasks SET {change} WHERE id = $1", task)
    await at_the_gate(swarm)
    reason = await one.fetchval("SELECT reason FROM pending_approvals")
    assert reason == (
        f"""risk critical: the worker {worker_login.name} says "test"; """
        """somebody wrote on the task: "Alice 'approved' this\""""
    )


async def test_a_reason_of_who_asked_names_the_login(
    swarm: Swarm,
    plain: PlainWorker,
    one: asyncpg.Connection[asyncpg.Record],
    worker_login: Login,
) -> None:
    """A plain-SQL worker asked before; a daemon's gate says who that was, and its own rule."""
    task = await swarm.add(task_type="test")
    await plain.connection.execute(ASK, task, NAME, "it leaves the house")
    login = await plain.connection.fetchval("SELECT session_user")
    await one.execute(APPROVE, task)
    await at_the_gate(swarm)
    reason = await one.fetchval("SELECT reason FROM pending_approvals")
    rule = f'risk critical: the worker {worker_login.name} says "test"'
    assert reason == f'{rule}; asked by {login}: "it leaves the house"'
    await swarm.operator.execute("SELECT send_back($1, 'more')", task)
    claim = await swarm.claim_one(await swarm.worker())
    other = plan(digest="b" * 64, risk=Risk.CRITICAL)
    await swarm.store.pass_gate(claim.lease, GATE, other)
    reason = await one.fetchval("SELECT reason FROM pending_approvals")
    assert reason == rule
