"""Follows one goal from outside: what changed since the last look, until the goal has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

from juggernaut.adapters.postgres.board import Board, Row

LOOK_SECONDS: Final = 0.2
TASKS_MOST: Final = 100
LOGS_MOST: Final = 200
OPEN: Final = "active"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the board shows at one moment; `fresh_logs` came since the snapshot before."""

    goal: Row
    tasks: list[Row] = field(default_factory=list)
    workers: list[Row] = field(default_factory=list)
    approvals: list[Row] = field(default_factory=list)
    alerts: list[Row] = field(default_factory=list)
    fresh_logs: list[Row] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Say whether the goal has ended in any way."""
        return self.goal["status"] != OPEN


class View(Protocol):
    """Where a person sees what happens."""

    def show(self, snapshot: Snapshot) -> None:
        """Show a moment."""
        ...

    def say(self, text: str) -> None:
        """Say something that stays visible."""
        ...


@dataclass(slots=True)
class Watch:
    """Looks at one goal (None: at all that is there) again and again over one connection."""

    board: Board
    goal: UUID | None
    view: View
    _last_log: int = 0

    async def look(self) -> Snapshot:
        """Read the board once."""
        board = self.board
        tasks = await board.rows("list_tasks", None, None, self.goal, TASKS_MOST)
        logs = await board.rows("follow_logs", None, None, self._last_log, LOGS_MOST)
        if logs:
            self._last_log = max(int(str(row["id"])) for row in logs)
        names = {row["id"] for row in tasks}
        waiting = await board.rows("list_pending_approvals", TASKS_MOST)
        return Snapshot(
            await self._goal_row(),
            tasks[::-1],
            await board.rows("list_workers", TASKS_MOST),
            [row for row in waiting if row["task_id"] in names],
            await board.rows("list_alerts", TASKS_MOST),
            logs,
        )

    async def _goal_row(self) -> Row:
        """Read the goal; without one, something that never ends."""
        if self.goal is None:
            return {"title": "every goal", "status": OPEN}
        return await self.board.row("show_goal", self.goal) or {"title": "gone", "status": "gone"}

    async def follow(
        self,
        *,
        seconds: float | None,
        alive: Callable[[], bool],
        on_approval: Callable[[Row], Awaitable[None]],
    ) -> Snapshot:
        """Look until the goal has ended, the worker has, or time is up; gives the last look.

        `on_approval` is called once for each decision that waits.
        """
        until = None if seconds is None else time.monotonic() + seconds
        asked: set[object] = set()
        while True:
            snapshot = await self.look()
            self.view.show(snapshot)
            if snapshot.ended or not alive() or (until and time.monotonic() > until):
                return snapshot
            for row in snapshot.approvals:
                question = (row["task_id"], row["digest"])
                if question not in asked:
                    asked.add(question)
                    await on_approval(row)
            await asyncio.sleep(LOOK_SECONDS)
