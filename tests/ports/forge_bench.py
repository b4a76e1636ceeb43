"""A bench of the Forge suite: a forge with a repository, and people who act at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Mergeable, Pull, PullView
from juggernaut.ports import Forge
from tests.adapters.forges.repos import Origin

CHECK = "juggernaut/verify"
BRANCH = "feature/task-1"
LOOKS = 6


class People(Protocol):
    """What people and their CI do at a forge; each act is done when the call comes back."""

    @property
    def ann(self) -> str:
        """Give the login of the person who does most of it."""

    @property
    def bob(self) -> str:
        """Give the login of another person."""

    async def comment(
        self, number: int, text: str, path: str = "", line: int | None = None
    ) -> None:
        """Let Ann say something below a pull request, or about a line of it."""

    async def review(self, number: int, verdict: str, text: str = "", login: str = "") -> int:
        """Review it: APPROVED, CHANGES_REQUESTED or COMMENTED; gives the review's id."""

    async def dismiss(self, number: int, review: int) -> None:
        """Take a review of Ann's back."""

    async def check(self, sha: Sha, name: str, passed: bool, log: str = "") -> None:
        """Let a CI job end at a commit."""

    async def require(self, checks: tuple[str, ...], approvals: int = 0) -> None:
        """Protect the default branch."""

    async def close(self, number: int) -> None:
        """Let Ann close it without a merge."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A forge and the repository behind it, which a person can push to."""

    forge: Forge
    origin: Origin
    repo: str
    people: People | None = None

    @property
    def crowd(self) -> People:
        """Give the people; a forge without them is not in the life suite."""
        assert self.people is not None, "this bench has no people"
        return self.people

    async def opened(
        self, text: str = "ONE\ntwo\nthree\n", branch: str = BRANCH, *, draft: bool = False
    ) -> Pull:
        """Push a change and open a pull request of it."""
        self.origin.push(branch, {"app.py": text})
        return await self.forge.open_pull(self.repo, branch, "Change app", "Because.", draft=draft)

    async def verified(self, text: str = "ONE\ntwo\nthree\n", branch: str = BRANCH) -> Pull:
        """Push a change, open a pull request and record its check as passed."""
        pull = await self.opened(text, branch)
        await self.forge.post_check(self.repo, pull.head_sha, CHECK, True, "3 passed")
        return pull

    async def merge(self, pull: Pull, expected: Sha | None = None) -> Pull:
        """Merge a pull request at its head, or at another commit."""
        sha = expected or pull.head_sha
        return await self.forge.merge(self.repo, pull.number, sha, "Change app (#1)", "Because.")

    async def view(self, number: int) -> PullView:
        """Look until the forge has made up its mind about a merge."""
        for _ in range(LOOKS):
            view = await self.forge.look(self.repo, number)
            assert view is not None
            if view.pull.mergeable is not Mergeable.UNKNOWN or view.pull.state != "open":
                return view
        raise AssertionError(f"the forge did not make up its mind in {LOOKS} looks")
