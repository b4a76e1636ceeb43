"""The part of the store that a pull request's life needs: watches, rounds, turns, files, locks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from juggernaut.domain.model import Decision, Json, Learning, Lease, Sha, TaskId
from juggernaut.domain.pull_steps import PullState


class PullWork(Protocol):
    """What an attempt records of its pull request; all fenced."""

    async def note_pull(self, lease: Lease, repo: str, branch: str, number: int, head: Sha) -> bool:
        """Record the pull request of the task, and the head that is ours."""
        ...

    async def pull_state(self, task: TaskId) -> PullState | None:
        """Give what is recorded of the task's pull request; None when it opened none."""
        ...

    async def pushed(self, task: TaskId, key: str) -> str | None:
        """Give intended or confirmed for a push of this task; None when it never meant it."""
        ...

    async def park_pull(
        self, lease: Lease, stamp: str, waits_for: str, reason: str, owner: str
    ) -> bool:
        """End the attempt, uncounted: its pull request waits at the forge, and no worker does."""
        ...

    async def count_round(self, lease: Lease, kind: str, most: int) -> int:
        """Count a round of `fix` or `update`; 0 when there is none left. Raises LeaseLost."""
        ...

    async def handle_news(self, lease: Lease, kind: str, keys: Sequence[str]) -> bool:
        """Mark what was said or found as dealt with."""
        ...

    async def take_turn(self, lease: Lease, repo: str) -> Json | None:
        """Take the turn to merge if nobody has it; gives {holder, title}, None: lease lost."""
        ...

    async def leave_turn(self, lease: Lease) -> bool:
        """Give the turn to merge to the next."""
        ...

    async def begin_files(self, lease: Lease, repo: str, files: Sequence[str]) -> Decision | None:
        """Begin work on files; a decision that does not go has put the task off."""
        ...

    async def note_files(self, lease: Lease, repo: str, files: Sequence[str]) -> bool:
        """Record the files that the task changed."""
        ...

    async def learn(self, lease: Lease, learning: Learning) -> bool:
        """Keep a learning of an attempt that ends without completing."""
        ...

    def effect_lock(self, lease: Lease) -> AbstractAsyncContextManager[None]:
        """Keep the task from being claimed or swept while the block runs; raises LeaseLost."""
        ...


class Watches(Protocol):
    """What the duty asks and tells about pull requests that wait; any process may run it."""

    async def take_watches(self, most: int) -> Sequence[Json]:
        """Give the pull requests whose time to be looked at has come, each to one asker."""
        ...

    async def saw_pull(
        self, task: TaskId, fence: int, stamp: str, kind: str | None, key: str, said: str
    ) -> str | None:
        """Say what a look found; a kind brings the task back. Gives the new status."""
        ...

    async def hurry_pull(self, repo: str, number: int) -> bool:
        """Let a pull request that waits be looked at now; says whether one does."""
        ...

    async def drop_watch(self, task: TaskId) -> bool:
        """Forget the pull request of a task that is over."""
        ...

    async def report_review(
        self, task: TaskId, forge: str, author: str, sha: Sha, review: str
    ) -> str:
        """Report an approving review; it counts only where an operator opted in."""
        ...
