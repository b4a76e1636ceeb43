"""What the local forge asks of the place where its pull requests are recorded."""

from __future__ import annotations

from typing import Protocol

from juggernaut.domain.model import Sha


class PullRow(Protocol):
    """A recorded pull request; `intended_sha` is a merge that was begun."""

    @property
    def number(self) -> int:
        """Give the number, unique in the whole database."""
        ...

    @property
    def head_branch(self) -> str:
        """Give the branch that is to be merged."""
        ...

    @property
    def base_branch(self) -> str:
        """Give the branch that it is merged into."""
        ...

    @property
    def title(self) -> str:
        """Give the title."""
        ...

    @property
    def state(self) -> str:
        """Give open, merged or closed."""
        ...

    @property
    def head_sha(self) -> Sha:
        """Give the head as it was last recorded; of a merged pull, the head that was merged."""
        ...

    @property
    def intended_sha(self) -> Sha | None:
        """Give the merge commit that was written down before the base moved."""
        ...

    @property
    def merged_sha(self) -> Sha | None:
        """Give the commit of the merge."""
        ...


class PullStore(Protocol):
    """The record of pull requests and checks."""

    async def open_pull(
        self, repo: str, head_branch: str, base_branch: str, title: str, body: str, head_sha: Sha
    ) -> PullRow:
        """Open, or give the one that is open, or the merged one if this head was merged."""
        ...

    async def newest_pull(self, repo: str, head_branch: str) -> PullRow | None:
        """Give the newest pull request of a branch."""
        ...

    async def pull(self, repo: str, number: int) -> PullRow | None:
        """Give a pull request by its number."""
        ...

    async def intend_merge(self, repo: str, number: int, head_sha: Sha, merge_sha: Sha) -> bool:
        """Write down a merge before it is done; False when the pull is not open any more."""
        ...

    async def confirm_merge(self, repo: str, number: int, merge_sha: Sha) -> PullRow | None:
        """Mark as merged what was intended; None when that merge was never intended."""
        ...

    async def put_check(self, repo: str, sha: Sha, name: str, passed: bool, text: str) -> None:
        """Record a check; a repeat replaces it."""
        ...

    async def check(self, repo: str, sha: Sha, name: str) -> bool | None:
        """Say whether a check passed at a commit; None when it was not recorded."""
        ...
