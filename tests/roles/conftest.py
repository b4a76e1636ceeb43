"""The bench that the tests of the roles and of the lifecycle work at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from juggernaut.adapters.postgres.pool import open_pool
from tests.adapters.forges.repos import make_origin
from tests.fakes.puppets import PuppetAgent, PuppetModel
from tests.fixtures_postgres import Database, Login, fresh_login
from tests.roles.bench import GOOD_SLUG, SLUG_FILES, Approver, Bench, approve, make_services


@pytest.fixture
async def bench(
    tmp_path: Path, database: Database, worker_login: Login, approver_login: Login
) -> AsyncIterator[Bench]:
    """A process with a worker's rights, a repository with a bug, and an agent that fixes it."""
    url = database.url_for(worker_login.name, worker_login.password)
    origin = make_origin(tmp_path, SLUG_FILES)
    agent = PuppetAgent({"slug.py": GOOD_SLUG})
    async with open_pool(url, size=4) as pool:
        services = make_services(pool, tmp_path / "root", origin, agent, PuppetModel({}))
        operator = await database.connect()
        yield Bench(services, operator, await database.connect(approver_login), origin, {})


@pytest.fixture
async def second(bench: Bench, database: Database) -> AsyncIterator[Approver]:
    """What a second approver approves with."""
    async with fresh_login(database, "juggernaut_approver") as login:
        connection = await database.connect(login)

        async def decide(task: UUID) -> None:
            """Approve what waits."""
            await approve(connection, task)

        yield decide
