"""A database of before, with work in it, goes on after the upgrade."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import UUID

from juggernaut.app.migrate import migrate
from juggernaut.domain.model import Digest, Plan, Risk
from tests.fixtures_postgres import MIGRATIONS, Database, fresh_login
from tests.store.swarm import GATE, open_swarm

SHOWN = ({"title": "t", "payload_digest": "0" * 64}, {"title": "t", "payload": {}})
BECAME = """
SELECT t.status, a.status AS asked FROM governance_tasks t JOIN approvals a ON a.task_id = t.id
 ORDER BY array_position($1::uuid[], t.id)
"""


def until(folder: Path, last: int) -> Path:
    """Give a folder with the migrations up to a number."""
    for path in MIGRATIONS.glob("*.sql"):
        if int(path.name[:4]) <= last:
            shutil.copy(path, folder)
    return folder


async def test_a_request_that_shows_too_little_is_taken_back(
    empty_database: Database, tmp_path: Path
) -> None:
    """Approving it would let nothing through, so nobody is asked to; a newer one stays."""
    await migrate(empty_database.url, until(tmp_path, 40))
    tasks: list[UUID] = []
    async with fresh_login(empty_database, "juggernaut_worker") as login:
        async with open_swarm(empty_database, login) as swarm:
            session = await swarm.worker()
            for body in SHOWN:
                tasks.append(await swarm.add(risk_level="high"))
                claim = await swarm.claim_one(session)
                asked = Plan(body, Digest("a" * 64), Risk.HIGH, ("rule",))
                await swarm.store.pass_gate(claim.lease, GATE, asked)
        await migrate(empty_database.url, MIGRATIONS)
    operator = await empty_database.connect()
    rows = await operator.fetch(BECAME, tasks)
    assert [tuple(row) for row in rows] == [("pending", "void"), ("waiting_approval", "pending")]


async def test_what_was_lawful_breaks_no_law(empty_database: Database, tmp_path: Path) -> None:
    """An operator allowed fewer attempts than were made, and a budget that made no purse."""
    await migrate(empty_database.url, until(tmp_path, 33))
    async with fresh_login(empty_database, "juggernaut_worker") as login:
        async with open_swarm(empty_database, login) as swarm:
            session = await swarm.worker()
            task = await swarm.add()
            await swarm.store.fail((await swarm.claim_one(session)).lease, "c", "m", retry_after=0)
            await swarm.operator.execute("UPDATE governance_tasks SET run_after = NULL")
            await swarm.claim_one(session)
            await swarm.operator.execute(
                "UPDATE governance_tasks SET max_attempts = 1, budget_usd = 2"
            )
        await migrate(empty_database.url, MIGRATIONS)
    operator = await empty_database.connect()
    assert await operator.fetchval("SELECT attempts FROM governance_tasks WHERE id = $1", task) == 2
    assert await operator.fetch("SELECT law FROM law_violations") == []


async def test_the_newest_edit_of_before_is_known(empty_database: Database, tmp_path: Path) -> None:
    """A login was kept with its first edit only; the events know the later one."""
    await migrate(empty_database.url, until(tmp_path, 41))
    async with fresh_login(empty_database, "juggernaut_worker") as login:
        async with open_swarm(empty_database, login) as swarm:
            task = await swarm.add()
            for column in ("title", "description", "priority"):
                edit = f"UPDATE governance_tasks SET {column} = 'high' WHERE id = $1"
                await swarm.operator.execute(edit, task)
        await migrate(empty_database.url, MIGRATIONS)
    operator = await empty_database.connect()
    newest = """
    SELECT v.after ? 'description' FROM juggernaut.editors e
      JOIN juggernaut.events v ON v.at = e.edited_at
     WHERE e.task_id = $1
    """
    assert await operator.fetchval(newest, task) is True
