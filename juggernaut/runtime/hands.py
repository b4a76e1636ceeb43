"""The hands of a worker: the attempts of one session, at most `slots` of them at work at once.

Whoever hands in no longer works: its last write is under way, and its slot begins the next task.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from juggernaut.domain import limits
from juggernaut.domain.model import Claim, Lease, TaskId, WorkerId
from juggernaut.ports import Clock
from juggernaut.runtime.ahead import Ahead
from juggernaut.runtime.heartbeat import Load
from juggernaut.runtime.supervisor import describe

log = structlog.get_logger(__name__)

# Does a claim, says through its second argument that the work is done; gives the last word.
Attempt = Callable[[Claim, Callable[[], None]], Awaitable[str]]


@dataclass(slots=True)
class Hands:
    """Begins what it is given as soon as a slot is free; `freed` is called whenever one is."""

    worker: WorkerId
    attempt: Attempt
    clock: Clock
    slots: int
    freed: Callable[[], None]
    ahead: Ahead = field(default_factory=Ahead)
    _running: dict[asyncio.Task[str], TaskId] = field(default_factory=dict)
    _at_work: dict[TaskId, float] = field(default_factory=dict)
    _waiting: deque[tuple[float, Claim]] = field(default_factory=deque)

    @property
    def free(self) -> int:
        """Give the number of free slots."""
        return self.slots - len(self._at_work)

    @property
    def running(self) -> Sequence[asyncio.Task[str]]:
        """Give the attempts that have not ended."""
        return list(self._running)

    @property
    def holds(self) -> bool:
        """Say whether tasks wait for a slot."""
        return bool(self._waiting)

    def wanted(self) -> int:
        """Give how many tasks to claim: for the free slots, and ahead while attempts are brief."""
        room = self.free + self.ahead.room(self.slots) - len(self._waiting)
        bound = self.slots + limits.AHEAD_MOST - len(self._running) - len(self._waiting)
        return max(0, min(room, bound))

    def load(self) -> Load:
        """Say what the worker does at this moment."""
        if not self._running:
            return Load("idle", None)
        task = next(iter(self._at_work), None) or next(iter(self._running.values()))
        return Load("active" if self.free else "busy", task)

    def take(self, claims: Sequence[Claim]) -> None:
        """Begin each claim, or keep it until a slot is free."""
        now = self.clock.monotonic()
        self._waiting.extend((now, found) for found in claims)
        self._begin()

    def give_up(self, older_than: float = 0.0) -> list[Lease]:
        """Give the leases of what has waited so many seconds for a slot; it is begun no more."""
        since = self.clock.monotonic() - older_than
        if not self._waiting or self._waiting[0][0] > since:
            return []
        self.ahead.forget()
        given = [found.lease for _, found in self._waiting]
        self._waiting.clear()
        return given

    def _begin(self) -> None:
        """Run what waits as tasks of their own, as far as there are slots."""
        while self._waiting and self.free > 0:
            _, found = self._waiting.popleft()
            self._at_work[found.task.id] = self.clock.monotonic()
            task = asyncio.ensure_future(self._attempted(found))
            self._running[task] = found.task.id
            task.add_done_callback(self._finished)

    async def _attempted(self, found: Claim) -> str:
        """Run one attempt to its end."""
        names = {"worker": self.worker, "task": str(found.task.id)}
        log.info("attempt starts", **names, task_type=found.task.task_type, fence=found.lease.fence)
        end = await self.attempt(found, lambda: self._free(found.task.id))
        log.info("attempt ended", **names, end=str(end))
        return end

    def _free(self, task_id: TaskId) -> None:
        """Free a slot, and begin with it what waits."""
        since = self._at_work.pop(task_id, None)
        if since is None:
            return
        self.ahead.worked(self.clock.monotonic() - since)
        self._begin()
        self.freed()

    def _finished(self, task: asyncio.Task[str]) -> None:
        """Free the slot; an attempt that escaped its own error handling is a bug to be seen."""
        task_id = self._running.pop(task)
        self._free(task_id)
        self.freed()
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            name = str(task_id)
            log.error("attempt broke out", worker=self.worker, task=name, error=describe(error))
