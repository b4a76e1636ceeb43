"""What the tests of the GitHub double share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.github.double import GitHubDouble
from tests.fakes.github_desk import REPO, Desk, connect


@pytest.fixture
def desk(github_double: GitHubDouble) -> Iterator[Desk]:
    """A repository and a client with a classic token that may write."""
    github_double.create(REPO)
    client = connect(github_double, github_double.token())
    yield Desk(github_double, client, client.get_repo(REPO))
    client.close()
