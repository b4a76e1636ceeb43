"""What the tests of the invariants ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fixtures_postgres import Database, Login
from tests.invariants.scene import Scene, open_scene
from tests.roles.conftest import bench

__all__ = ["bench", "scene"]


@pytest.fixture
async def scene(database: Database, worker_login: Login) -> AsyncIterator[Scene]:
    """A database with one login of each kind."""
    async with open_scene(database, worker_login) as made:
        yield made
