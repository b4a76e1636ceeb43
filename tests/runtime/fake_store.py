"""The part of the port Store that the runtime uses, in memory, with faults to plant."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast

from juggernaut.domain.errors import DatabaseUnreachable
from juggernaut.domain.model import (
    Claim,
    Json,
    Lease,
    Priority,
    Risk,
    Session,
    SessionId,
    Task,
    TaskId,
    WorkerId,
)
from juggernaut.domain.states import TaskStatus
from juggernaut.ports import Store

THRESHOLDS = {"heartbeat_seconds": 15.0, "session_seconds": 60.0, "poll_seconds": 5.0}


def make_claim(task_type: str = "command") -> Claim:
    """Make a claimed task."""
    task_id = TaskId(uuid.uuid4())
    task = Task(
        id=task_id,
        title="a task",
        description="",
        task_type=task_type,
        priority=Priority.MEDIUM,
        risk=Risk.LOW,
        status=TaskStatus.IN_PROGRESS,
        criteria=(),
    )
    return Claim(task, Lease(task_id, 1, uuid.uuid4(), 1e9))


class FakeStore:
    """Remembers what it was asked; `down` makes every answer a lost connection."""

    def __init__(self) -> None:
        """Start empty and reachable."""
        self.ready: deque[Claim] = deque()
        self.calls: list[str] = []
        self.beats: list[str] = []
        self.slots_asked: list[int] = []
        self.down = False
        self.alive = True
        self.sessions = 0
        self.after_idle: Claim | None = None
        self.released: list[Lease] = []
        self.trip: Callable[[], Awaitable[None]] | None = None

    def as_store(self) -> Store:
        """Give itself as the whole port; what the runtime does not use is not there."""
        return cast(Store, self)

    def _answer(self, call: str) -> None:
        """Note a call, or fail it."""
        self.calls.append(call)
        if self.down:
            raise DatabaseUnreachable("no answer")

    async def open_session(
        self, worker_id: WorkerId, worker_type: str, handles: tuple[str, ...], meta: Json
    ) -> Session:
        """Register."""
        self._answer("open")
        self.sessions += 1
        self.alive = True
        return Session(
            SessionId(uuid.uuid4()), uuid.uuid4(), worker_id, worker_type, ("command", "test")
        )

    async def thresholds(self) -> Mapping[str, float]:
        """Give the waits."""
        return THRESHOLDS

    async def beat(self, session: Session, status: str, task: TaskId | None) -> bool:
        """Beat."""
        self._answer("beat")
        self.beats.append(status)
        return self.alive

    async def close_session(self, session: Session) -> None:
        """Write offline."""
        self._answer("close")

    async def claim(self, session: Session, slots: int) -> Sequence[Claim]:
        """Hand out what is ready."""
        self._answer("claim")
        self.slots_asked.append(slots)
        if self.trip is not None:
            await self.trip()
        return [self.ready.popleft() for _ in range(min(slots, len(self.ready)))]

    async def release(self, lease: Lease, reason: str) -> bool:
        """Take a task back."""
        self._answer("release")
        self.released.append(lease)
        return True

    async def idle(self, session: Session, waiting: bool) -> None:
        """Note the wish for a hint; a planted task arrives just before it."""
        self._answer("idle")
        if self.after_idle is not None:
            self.ready.append(self.after_idle)
            self.after_idle = None
