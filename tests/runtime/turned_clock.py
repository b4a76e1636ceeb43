"""A clock that stands still until a test turns it."""

from __future__ import annotations

import asyncio
import heapq
import itertools

SETTLE_ROUNDS = 40


async def settle() -> None:
    """Let every task run until it waits for something real."""
    for _ in range(SETTLE_ROUNDS):
        await asyncio.sleep(0)


class TurnedClock:
    """Implements the port Clock."""

    def __init__(self) -> None:
        """Start at zero."""
        self.now = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        """Give the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Wait until a test has turned the clock so far."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + max(0.0, seconds), next(self._order), done))
        await done

    async def turn(self, seconds: float) -> None:
        """Let time pass, waking each sleeper at its time."""
        end = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, done = heapq.heappop(self._sleepers)
            self.now = max(self.now, at)
            if not done.done():
                done.set_result(None)
            await settle()
        self.now = end
        await settle()
