"""What the local forge asks of the place where its pull requests are recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Comment, Review


class Rules(Protocol):
    """What a merge needs besides the verifier's check."""

    @property
    def checks(self) -> tuple[str, ...]:
        """Give the names of the checks that have to pass at the head."""
        ...

    @property
    def reviews(self) -> int:
        """Give how many approving reviews of the head are needed."""
        ...

    @property
    def up_to_date(self) -> bool:
        """Say whether the head has to have the newest base."""
        ...


class CheckRow(Protocol):
    """A check that was recorded."""

    @property
    def name(self) -> str:
        """Give its name."""
        ...

    @property
    def passed(self) -> bool:
        """Say whether it passed."""
        ...

    @property
    def text(self) -> str:
        """Give what it said."""
        ...


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

    @property
    def draft(self) -> bool:
        """Say whether it is a draft."""
        ...

    @property
    def ended_by(self) -> str | None:
        """Give the login that merged or closed it."""
        ...


class PullStore(Protocol):
    """The record of pull requests and checks."""

    async def open_pull(
        self,
        repo: str,
        head_branch: str,
        base_branch: str,
        title: str,
        body: str,
        head_sha: Sha,
        draft: bool,
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

    async def head_is(self, repo: str, number: int, head: Sha) -> None:
        """Keep where the branch of an open pull request stands now."""
        ...

    async def rules(self, repo: str) -> Rules:
        """Give what a merge needs besides the verifier's check."""
        ...

    async def checks(self, repo: str, sha: Sha) -> Sequence[CheckRow]:
        """Give the checks at a commit."""
        ...

    async def check_text(self, repo: str, sha: str, name: str) -> str:
        """Give what a check said; empty when it is not there."""
        ...

    async def reviews(self, number: int) -> Sequence[Review]:
        """Give the newest review of each person, without dismissed ones."""
        ...

    async def comments(self, number: int) -> Sequence[Comment]:
        """Give the remarks of others, the oldest first."""
        ...

    async def say(self, repo: str, number: int, key: str, text: str, reply_to: int | None) -> int:
        """Write a comment of ours once; gives its id, 0 when there is no such pull request."""
        ...

    async def ready(self, repo: str, number: int) -> PullRow | None:
        """Take a pull request out of draft."""
        ...

    async def close(self, repo: str, number: int, reason: str) -> PullRow | None:
        """Close a pull request that is open."""
        ...
