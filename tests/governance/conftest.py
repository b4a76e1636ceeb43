"""The bench of the roles, a second approver, and a worker that has nothing but psql."""

from __future__ import annotations

import pytest

from tests.fixtures_postgres import Database, Login
from tests.governance.plain_sql import PlainWorker
from tests.roles.conftest import bench, second

__all__ = ["bench", "second"]


@pytest.fixture
async def plain(database: Database, plain_login: Login) -> PlainWorker:
    """A registered plain-SQL worker."""
    worker = PlainWorker(await database.connect(plain_login))
    await worker.register()
    return worker
