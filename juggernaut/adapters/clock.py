"""The real clock."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """Time of this machine; only for pacing, the database's time decides."""

    def monotonic(self) -> float:
        """Give seconds of a clock that never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait; cancelling ends it at once."""
        await asyncio.sleep(max(0.0, seconds))
