"""A forge at the double, and what tests do with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from juggernaut.adapters.forges.github import GitHubForge
from juggernaut.adapters.forges.github.client import Client
from juggernaut.adapters.forges.github.names import Place
from juggernaut.adapters.forges.github.remote import GitHubSource
from juggernaut.adapters.forges.github.tokens import GivenToken, Tokens
from juggernaut.adapters.forges.github.wire import Wire
from juggernaut.adapters.forges.workspace import GitWorkspaces
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Pull
from juggernaut.domain.redact import Secret
from tests.fakes.github.double import GitHubDouble

REPO = "octo/app"
BRANCH = "feature/task-1"
CHECK = "juggernaut/verify"


@dataclass(frozen=True)
class Bench:
    """A forge with one token, its double, and work trees over HTTP."""

    double: GitHubDouble
    place: Place
    wire: Wire
    tokens: Tokens
    forge: GitHubForge
    spaces: GitWorkspaces

    async def opened(self, branch: str = BRANCH, *, draft: bool = False) -> Pull:
        """Push a change as a person would, and open a pull request of it."""
        self.double.human.push(REPO, branch, {"app.py": f"{branch}\n"})
        return await self.forge.open_pull(REPO, branch, "Change app", "Because.", draft=draft)

    async def verified(self, branch: str = BRANCH) -> Pull:
        """Open a pull request with a check that passed."""
        pull = await self.opened(branch)
        await self.forge.post_check(REPO, pull.head_sha, CHECK, True, "3 passed")
        return pull

    async def merge(self, pull: Pull, sha: Sha | None = None) -> Pull:
        """Merge at the head, or at another commit."""
        title, body = "Change app", "Because."
        return await self.forge.merge(REPO, pull.number, sha or pull.head_sha, title, body)

    def count(self, method: str, path: str) -> int:
        """Count the requests that came in."""
        return len(self.double.journal.of(method, path))


def make_bench(double: GitHubDouble, folder: Path, wire: Wire, tokens: Tokens) -> Bench:
    """Put a forge and work trees together."""
    place = Place.of(double.url)
    forge = GitHubForge(place, Client(wire, tokens, write_pause_seconds=0))
    spaces = GitWorkspaces(
        folder / "root", remotes=lambda repo: GitHubSource(place, place.repo(repo), tokens)
    )
    return Bench(double, place, wire, tokens, forge, spaces)


@pytest.fixture
def token(github_double: GitHubDouble) -> str:
    """A token that may push."""
    github_double.create(REPO)
    return github_double.token()


@pytest.fixture
def bench(github_double: GitHubDouble, tmp_path: Path, token: str) -> Iterator[Bench]:
    """A forge with a given token."""
    wire = Wire(github_double.url)
    yield make_bench(github_double, tmp_path, wire, GivenToken(Secret(token)))
    wire.close()
