"""The ports of time, commands, work trees and forges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from juggernaut.domain.exchange import (
    CommandResult,
)
from juggernaut.domain.model import (
    Sha,
)
from juggernaut.domain.pulls import Change, Pull


class Clock(Protocol):
    """Time as this process may use it: never for safety, only for pacing."""

    def monotonic(self) -> float:
        """Give seconds of a clock that never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Sandbox(Protocol):
    """Where commands of untrusted origin run."""

    @property
    def level(self) -> str:
        """Give the strength: bubblewrap, landlock or bare."""
        ...

    async def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        *,
        timeout_seconds: float,
        writable: Sequence[Path] = (),
    ) -> CommandResult:
        """Run argv with a built environment; the process group is dead when this returns.

        A command that cannot be started ends with exit code 127 and the reason as output.
        `cwd` is always writable.
        """
        ...


class Workspace(Protocol):
    """A work tree on a task's branch, under a control directory outside it."""

    @property
    def path(self) -> Path:
        """Give the work tree; it holds no .git directory that anyone obeys."""
        ...

    @property
    def base(self) -> Sha:
        """Give the commit of the default branch that the branch started from."""
        ...

    async def commit(self, message: str) -> Change | None:
        """Commit all that changed since base as one commit; None when nothing did.

        Refuses (InvalidInput) what a diff may not hold: links out of the tree, git internals,
        too many files or bytes.
        """
        ...

    async def push(self, change: Change, expected: Sha | None) -> None:
        """Push to the branch, from exactly `expected` (None: it must not exist)."""
        ...

    async def landed(self) -> Change:
        """Measure the commit that is checked out against its first parent."""
        ...

    async def close(self) -> None:
        """Remove the work tree; a second call does nothing."""
        ...


class Workspaces(Protocol):
    """Work trees of one repository."""

    async def open(self, repo: str, branch: str, attempt: str) -> Workspace:
        """Open a fresh work tree at the head of the default branch for `branch`."""
        ...

    async def checkout(self, repo: str, sha: Sha | None, attempt: str) -> Workspace:
        """Open a fresh work tree of exactly this commit (None: default branch's head)."""
        ...

    async def sweep(self, alive: Sequence[str]) -> int:
        """Remove work trees whose attempt is not alive any more; gives their number."""
        ...


class Forge(Protocol):
    """Where repositories and pull requests live."""

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

    async def open_pull(self, repo: str, head_branch: str, title: str, body: str) -> Pull:
        """Open a pull request; an open one of that branch is given back instead.

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
