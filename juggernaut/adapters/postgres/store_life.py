"""The store's part of a pull request's life: watches, rounds, turns, files, the effect lock."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from juggernaut.adapters.postgres import queries
from juggernaut.domain.errors import LeaseLost
from juggernaut.domain.limits import EFFECT_LOCK_SECONDS
from juggernaut.domain.model import Decision, Json, Learning, Lease, Sha, TaskId
from juggernaut.domain.pull_steps import PullState

# At most one in so many connections waits on a forge; the one that claims is not counted.
LOCKED_SHARE: Final = 2


class PgLife:
    """Pull requests as the machinery keeps them; a part of PgStore."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        """Use a pool that somebody else closes."""
        self._pool = pool
        self._locks = asyncio.Semaphore(max(1, (pool.get_max_size() - 1) // LOCKED_SHARE))

    async def _rows(self, name: str, *values: object) -> Sequence[asyncpg.Record]:
        """Run the statement of sql/<name>.sql."""
        return await queries.fetch(self._pool, name, *values)

    async def _landed(self, name: str, *values: object) -> bool:
        """Run a write whose answer says whether it landed."""
        return bool((await self._rows(name, *values))[0][0])

    async def _held(self, name: str, lease: Lease, *values: object) -> bool:
        """Run a fenced write."""
        return await self._landed(name, lease.task_id, lease.fence, lease.secret, *values)

    async def note_pull(self, lease: Lease, repo: str, branch: str, number: int, head: Sha) -> bool:
        """Record the pull request of the task, and the head that is ours."""
        return await self._held("note_pull", lease, repo, branch, number, head)

    async def pull_state(self, task: TaskId) -> PullState | None:
        """Give what is recorded of the task's pull request."""
        rows = await self._rows("read_pull_state", task)
        if not rows:
            return None
        row = rows[0]
        handled = frozenset(row["handled"])
        return PullState(row["number"], Sha(row["head"]), handled, row["edited"])

    async def pushed(self, task: TaskId, key: str) -> str | None:
        """Give intended or confirmed for a push of this task; None when it never meant it."""
        rows = await self._rows("read_push", task, key)
        return str(rows[0]["state"]) if rows else None

    async def park_pull(
        self, lease: Lease, stamp: str, waits_for: str, reason: str, owner: str
    ) -> bool:
        """End the attempt, uncounted: its pull request waits at the forge."""
        return await self._held("park_pull", lease, stamp, waits_for, reason, owner)

    async def count_round(self, lease: Lease, kind: str, most: int) -> int:
        """Count a round of `fix` or `update`; 0 when there is none left."""
        place = (lease.task_id, lease.fence, lease.secret)
        return int((await self._rows("count_round", *place, kind, most))[0]["round"])

    async def handle_news(self, lease: Lease, kind: str, keys: Sequence[str]) -> bool:
        """Mark what was said or found as dealt with."""
        return await self._held("handle_news", lease, kind, list(keys))

    async def take_turn(self, lease: Lease, repo: str) -> Json | None:
        """Take the turn to merge if nobody has it; gives {holder, title}."""
        rows = await self._rows("take_turn", lease.task_id, lease.fence, lease.secret, repo)
        return dict(rows[0]) if rows else None

    async def leave_turn(self, lease: Lease) -> bool:
        """Give the turn to merge to the next."""
        return await self._held("leave_turn", lease)

    async def begin_files(self, lease: Lease, repo: str, files: Sequence[str]) -> Decision | None:
        """Begin work on files; a decision that does not go has put the task off."""
        place = (lease.task_id, lease.fence, lease.secret)
        rows = await self._rows("begin_files", *place, repo, list(files))
        return Decision(go=rows[0]["go"], reason=rows[0]["reason"]) if rows else None

    async def note_files(self, lease: Lease, repo: str, files: Sequence[str]) -> bool:
        """Record the files that the task changed."""
        return await self._held("note_files", lease, repo, list(files))

    async def learn(self, lease: Lease, learning: Learning) -> bool:
        """Keep a learning of an attempt that ends without completing."""
        facts: dict[str, object] = {
            "category": learning.category,
            "title": learning.title,
            "description": learning.description,
            "impact": learning.impact,
            "tags": list(learning.tags),
        }
        return await self._held("learn_early", lease, facts)

    @asynccontextmanager
    async def effect_lock(self, lease: Lease) -> AsyncIterator[None]:
        """Hold the task's row in a transaction of its own while the block runs.

        The attempt's own fenced writes go on beside it. A cut link ends the lock, not the block:
        then the fence alone keeps the record.
        """
        async with self._locks, contextlib.AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._pool.acquire())
                change = connection.transaction()
                await change.start()
            except queries.CATCH as error:
                raise queries.named(error) from error
            try:
                seconds = f"{EFFECT_LOCK_SECONDS:.0f}s"
                await queries.fetch(connection, "set_lock_timeout", seconds)
                place = (lease.task_id, lease.fence, lease.secret)
                if not (await queries.fetch(connection, "hold_effect_lock", *place))[0][0]:
                    raise LeaseLost(f"task {lease.task_id} is not held by this attempt any more")
                yield
            finally:
                with contextlib.suppress(*queries.CATCH):
                    await change.rollback()

    async def take_watches(self, most: int) -> Sequence[Json]:
        """Give the pull requests whose time to be looked at has come."""
        return tuple(dict(row) for row in await self._rows("take_watches", most))

    async def saw_pull(
        self, task: TaskId, fence: int, stamp: str, kind: str | None, key: str, said: str
    ) -> str | None:
        """Say what a look found; a kind brings the task back."""
        rows = await self._rows("saw_pull", task, fence, stamp, kind, key, said)
        status: str | None = rows[0]["status"]
        return status

    async def hurry_pull(self, repo: str, number: int) -> bool:
        """Let a pull request that waits be looked at now."""
        return await self._landed("hurry_pull", repo, number)

    async def drop_watch(self, task: TaskId) -> bool:
        """Forget the pull request of a task that is over."""
        return await self._landed("drop_watch", task)

    async def report_review(
        self, task: TaskId, forge: str, author: str, sha: Sha, review: str
    ) -> str:
        """Report an approving review."""
        rows = await self._rows("report_review", task, forge, author, sha, review)
        return str(rows[0]["answer"])
