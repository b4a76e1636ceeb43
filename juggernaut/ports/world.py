"""The ports of time, commands, work trees and forges."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from juggernaut.domain import limits
from juggernaut.domain.exchange import (
    CommandResult,
)
from juggernaut.domain.model import (
    Sha,
)
from juggernaut.domain.network import Allowed, Contact
from juggernaut.domain.pulls import Change

TellContact: TypeAlias = Callable[[Contact], Awaitable[None]]


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
        memory_bytes: int = limits.COMMAND_MEMORY_BYTES,
    ) -> CommandResult:
        """Run argv with a built environment; the process group is dead when this returns.

        A command that cannot be started ends with exit code 127 and the reason as output.
        `cwd` is always writable. `memory_bytes` bounds the address space of each process.
        """
        ...


class Gateway(Protocol):
    """What leads out of a sandbox, to what the policy allows and nowhere else."""

    def through(self, sandbox: Sandbox, allowed: Sequence[Allowed], tell: TellContact) -> Sandbox:
        """Give a sandbox of the same strength whose commands reach what is allowed.

        Every connection is told; it is the same sandbox where its level has no such way.
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

    @property
    def conflicts(self) -> tuple[str, ...]:
        """Give the files that hold conflict marks, because a change was replayed on `base`."""
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

    async def resume(
        self, repo: str, branch: str, head: Sha, attempt: str, onto: Sha | None
    ) -> Workspace:
        """Open a tree that goes on from the change at `head`, with `onto` as its base.

        None is the default branch's head. What does not apply there stands in the tree with
        conflict marks; a commit is the whole change, on the new base.
        """
        ...

    async def checkout(self, repo: str, sha: Sha | None, attempt: str) -> Workspace:
        """Open a fresh work tree of exactly this commit (None: default branch's head)."""
        ...

    async def sweep(self, alive: Sequence[str]) -> int:
        """Remove work trees whose attempt is not alive any more; gives their number."""
        ...
