"""The bench of the roles, and a cassette that was recorded at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.replay.taped import Taped, record
from tests.roles.bench import Bench
from tests.roles.conftest import bench

__all__ = ["bench"]


@pytest.fixture
async def taped(bench: Bench, tmp_path: Path) -> Taped:
    """A code task that was done while it was recorded."""
    return await record(bench, tmp_path / "tapes")
