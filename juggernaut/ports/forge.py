"""The Forge port: repositories and pull requests, and what people and checks say of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Check, Promises, Pull, PullView


class Pulls(Protocol):
    """Where repositories and pull requests live: the way of a change from branch to merge."""

    @property
    def name(self) -> str:
        """Give the kind: local or github."""
        ...

    async def branch_head(self, repo: str, branch: str | None) -> Sha | None:
        """Give the head of a branch (None: the default branch), or None if it is not there."""
        ...

    async def find_pull(self, repo: str, head_branch: str) -> Pull | None:
        """Give the newest pull request of a branch, whatever its state."""
        ...

    async def open_pull(
        self,
        repo: str,
        head_branch: str,
        title: str,
        body: str,
        *,
        draft: bool = False,
        labels: Sequence[str] = (),
    ) -> Pull:
        """Open a pull request; an open one of that branch is given back instead.

        A forge or repository that knows no drafts opens it as ready. `labels` are put on what is
        opened, where the forge knows any; one that it refuses is missing in the answer.

        Raises NothingToMerge when the base contains the head.
        """
        ...

    async def post_check(self, repo: str, sha: Sha, name: str, passed: bool, text: str) -> None:
        """Record the result of a named check at a commit; a repeat replaces it."""
        ...

    async def merge(self, repo: str, number: int, expected: Sha, title: str, body: str) -> Pull:
        """Squash-merge if the head is `expected` and the required checks passed there.

        Raises HeadMoved, PullConflict, ForgeError (check missing or red, pull closed). A pull
        that was merged already at this head is given back as it is.
        """
        ...


class PullLife(Protocol):
    """What happens to an open pull request between its opening and its end."""

    async def look(self, repo: str, number: int, seen: str = "") -> PullView | None:
        """Read a pull request with checks, reviews and others' comments; bounded in size.

        None when nothing changed since the view whose stamp is `seen`: that costs no quota
        where the forge answers conditional requests.
        """
        ...

    async def check_log(self, repo: str, check: Check) -> str:
        """Give the end of a failed check's log, at most EXCERPT_CHARS; empty if there is none."""
        ...

    async def say(self, repo: str, number: int, key: str, text: str, reply_to: str = "") -> str:
        """Write a comment once: a repeat with the same key gives the id of the first.

        `reply_to` is the id of a comment that is answered in its thread.
        """
        ...

    async def mark_ready(self, repo: str, number: int) -> Pull:
        """Take a pull request out of draft; one that is ready is given back as it is."""
        ...

    async def close_pull(self, repo: str, number: int, reason: str) -> Pull:
        """Close a pull request without a merge, saying why; a repeat does nothing."""
        ...

    async def delete_branch(self, repo: str, branch: str, expected: Sha) -> bool:
        """Delete a branch that is at `expected`; False when it is elsewhere or gone."""
        ...

    async def promises(self, repo: str) -> Promises:
        """Ask the forge what its settings allow to promise for a repository."""
        ...


class Forge(Pulls, PullLife, Protocol):
    """Everything that the lifecycle asks of a forge."""
