"""The bench of the roles, a second approver, and a worker that has nothing but psql."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fixtures_postgres import Database, Login, fresh_login
from tests.governance.plain_sql import PlainWorker
from tests.roles.conftest import bench, second

__all__ = ["bench", "second"]


@pytest.fixture
async def plain_login(database: Database) -> AsyncIterator[Login]:
    """The login of a worker that uses plain SQL."""
    async with fresh_login(database, "juggernaut_worker") as login:
        yield login


@pytest.fixture
async def plain(database: Database, plain_login: Login) -> PlainWorker:
    """A registered plain-SQL worker."""
    worker = PlainWorker(await database.connect(plain_login))
    await worker.register()
    return worker
