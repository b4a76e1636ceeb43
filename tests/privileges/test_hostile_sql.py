"""Statements of a hostile worker login: refused, or without any effect on others.

A legitimate worker (another login) claims and completes a task after every tenth of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from uuid import UUID

import asyncpg
import pytest

from juggernaut.app.logins import create_login, drop_login
from juggernaut.domain.model import Session
from tests.fixtures_postgres import Database, Login
from tests.invariants.asking import BODY, plan_of
from tests.invariants.scene import Connection, Scene, open_scene
from tests.privileges.hostile import HARMLESS, REFUSED
from tests.privileges.test_matrix import matrix
from tests.store.swarm import GATE, command_completion


@pytest.fixture(params=["juggernaut_worker", "juggernaut_plain"])
async def scene(
    database: Database, worker_login: Login, request: pytest.FixtureRequest
) -> AsyncIterator[Scene]:
    """A database with one login of each kind; the rival is the hostile one, of either group."""
    async with open_scene(database, worker_login, request.param) as made:
        yield made


async def stage(scene: Scene, hostile: Connection) -> tuple[Mapping[str, UUID], Session]:
    """One task in each state, and a raw worker of the hostile login that holds one."""
    session = await scene.swarm.worker(handles=("command",))
    parked = await scene.swarm.add(risk_level="high")
    claim = await scene.swarm.claim_one(session)
    await scene.swarm.store.pass_gate(claim.lease, GATE, plan_of(BODY))
    held = await scene.swarm.add(acceptance_criteria="it works")
    await scene.swarm.claim_one(session)
    done = await scene.swarm.add()
    claim = await scene.swarm.claim_one(session)
    await scene.swarm.store.complete(claim.lease, command_completion())
    await scene.raw_worker(hostile, "raw")
    mine = await scene.swarm.add(task_type="test")
    await scene.raw_claim(hostile, mine, "raw")
    pending = await scene.swarm.add(task_type="test")
    await scene.operator.execute(
        "INSERT INTO schedules (name, cron, title, task_type, next_run_at)"
        " VALUES ('later', '0 6 * * *', 'r', 'report', '2099-01-01')"
    )
    tasks = {"parked": parked, "held": held, "done": done, "mine": mine, "pending": pending}
    return tasks, session


async def works(scene: Scene, session: Session) -> None:
    """The legitimate worker claims and completes."""
    task = await scene.swarm.add()
    (claim,) = await scene.swarm.store.claim(session, 1)
    assert claim.task.id == task
    assert await scene.swarm.store.complete(claim.lease, command_completion())


async def attempt(hostile: Connection, statement: str) -> str | None:
    """Run a statement for good; gives the refusal, or None."""
    try:
        answer = await hostile.execute(statement)
    except asyncpg.PostgresError as error:
        return str(error)
    finally:
        if hostile.is_in_transaction():
            await hostile.execute("ROLLBACK")
    return "changed no row" if answer.rpartition(" ")[2] == "0" else None


async def test_hostile_statements_are_refused(scene: Scene) -> None:
    """More than 100, each with a message; nothing that anybody else has changes."""
    hostile = await scene.database.connect(scene.rival)
    tasks, session = await stage(scene, hostile)
    before = await scene.everything()
    powers = await matrix(scene.operator)
    passed = []
    for statement in REFUSED:
        if await attempt(hostile, statement.format(**tasks)) is None:
            passed.append(statement)
    assert passed == [], "nothing refused these"
    assert await scene.everything() == before
    assert await matrix(scene.operator) == powers
    assert len(REFUSED) >= 60
    await works(scene, session)


async def test_what_runs_is_harmless(scene: Scene) -> None:
    """After each of them the powers and the rows are the same, and others work."""
    hostile = await scene.database.connect(scene.rival)
    _, session = await stage(scene, hostile)
    powers = await matrix(scene.operator)
    before = await scene.everything()
    for statement in HARMLESS:
        await attempt(hostile, statement)
        assert await matrix(scene.operator) == powers, statement
    assert await scene.everything() == before
    await works(scene, session)
    row = await scene.operator.fetchrow("SELECT * FROM audit_verify()")
    assert row is not None
    assert row["ok"]


async def test_a_worker_goes_on_beside_a_hostile_one(scene: Scene) -> None:
    """Both at once."""
    hostile = await scene.database.connect(scene.rival)
    tasks, session = await stage(scene, hostile)

    async def attack() -> None:
        """Run the whole list."""
        for statement in REFUSED:
            await attempt(hostile, statement.format(**tasks))

    async def work() -> None:
        """Ten tasks."""
        for _ in range(10):
            await works(scene, session)

    await asyncio.gather(attack(), work())
    assert await scene.violations() == []


async def test_an_applications_name_is_no_identity(scene: Scene) -> None:
    """The audit row has the login, whatever the session calls itself."""
    hostile = await scene.database.connect(scene.rival)
    await hostile.execute("SET application_name = 'operator'")
    await stage(scene, hostile)
    rows = await scene.operator.fetch(
        "SELECT DISTINCT login FROM juggernaut.events WHERE application = 'operator'"
    )
    assert {row["login"] for row in rows} <= {scene.rival.name}


async def test_a_login_has_its_group_and_its_timeouts(database: Database) -> None:
    """As `juggernaut login create worker` makes it."""
    url = await create_login(database.url, "worker", "test_timeouts")
    try:
        connection = await asyncpg.connect(url)
        try:
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
            ):
                assert await connection.fetchval("SELECT current_setting($1)", name) != "0", name
        finally:
            await connection.close()
    finally:
        await drop_login(database.url, "test_timeouts")
