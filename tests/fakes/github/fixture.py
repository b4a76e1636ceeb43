"""The fixture: a GitHub for one test, whose every answer and request is held to the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.github.double import GitHubDouble


@pytest.fixture
def github_double(tmp_path: Path) -> Iterator[GitHubDouble]:
    """Serve a GitHub during a test; whatever broke GitHub's description fails it at the end."""
    with GitHubDouble(tmp_path / "github") as double:
        yield double
    assert not double.journal.problems, "\n".join(double.journal.problems)
