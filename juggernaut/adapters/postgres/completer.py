"""The completer of one process: what gathered while the last flush was under way goes together.

Nothing lingers: alone, a completion is sent at once. What the batch does not take (its answer is
null) or what makes the whole batch fail is sent by itself, so that each caller hears of its own
completion only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from juggernaut.adapters.postgres import queries, records
from juggernaut.domain.errors import DatabaseUnreachable, JuggernautError, SchemaDrift
from juggernaut.domain.model import Completion, Lease

BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Waiting:
    """A completion that somebody waits for."""

    lease: Lease
    completion: Completion
    landed: asyncio.Future[bool]


class Completer:
    """Sends completions in batches over one connection at a time."""

    def __init__(self, source: queries.Rows) -> None:
        """Send through a pool that somebody else closes."""
        self._source = source
        self._waiting: deque[Waiting] = deque()
        self._flushing: asyncio.Task[None] | None = None

    async def complete(self, lease: Lease, completion: Completion) -> bool:
        """Send a completion with the next batch; says whether it landed."""
        entry = Waiting(lease, completion, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        return await entry.landed

    async def _flush(self) -> None:
        """Send batch after batch until nobody waits; a caller that went away is left out."""
        while self._waiting:
            batch: list[Waiting] = []
            tasks: set[object] = set()
            while self._waiting and len(batch) < BATCH:
                if self._waiting[0].lease.task_id in tasks:
                    break  # one task twice is two batches: the second says what the first did
                entry = self._waiting.popleft()
                if not entry.landed.done():
                    batch.append(entry)
                    tasks.add(entry.lease.task_id)
            try:
                await self._send(batch)
            finally:
                # Only when this task itself was cancelled does anybody still wait here.
                for entry in batch:
                    entry.landed.cancel()

    async def _send(self, batch: list[Waiting]) -> None:
        """Send one batch, then one by one what it did not take."""
        rest = batch
        if len(batch) > 1:
            try:
                rest = await self._together(batch)
            except (DatabaseUnreachable, SchemaDrift) as error:
                for entry in batch:
                    _fail(entry, error)
                return
            except JuggernautError:
                rest = batch  # one of them was refused, and took the others with it
        for entry in rest:
            await self._alone(entry)

    async def _together(self, batch: list[Waiting]) -> list[Waiting]:
        """Send a batch; gives what did not land with it."""
        items = [records.completion_json(entry.lease, entry.completion) for entry in batch]
        rows = await queries.fetch(self._source, "complete_batch", items)
        landed = {row["task"] for row in rows if row["landed"]}
        for entry in batch:
            if entry.lease.task_id in landed and not entry.landed.done():
                entry.landed.set_result(True)
        return [entry for entry in batch if entry.lease.task_id not in landed]

    async def _alone(self, entry: Waiting) -> None:
        """Send one completion; its error is its caller's."""
        lease = entry.lease
        values = records.completion_values(entry.completion)
        try:
            rows = await queries.fetch(
                self._source, "complete_task", lease.task_id, lease.fence, lease.secret, *values
            )
        except JuggernautError as error:
            _fail(entry, error)
            return
        if not entry.landed.done():
            entry.landed.set_result(bool(rows[0]["landed"]))


def _fail(entry: Waiting, error: JuggernautError) -> None:
    """Hand an error to who waits."""
    if not entry.landed.done():
        entry.landed.set_exception(error)
