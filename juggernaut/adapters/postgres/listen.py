"""LISTEN as a hint: it may be late, lost or forged, so the loops poll as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import asyncpg

from juggernaut.adapters.postgres.queries import CATCH

CHANNEL: Final = "juggernaut_work"
CHECK_SECONDS: Final = 60.0
RECONNECT_SECONDS: Final = 5.0


class Listener:
    """One connection that waits for NOTIFY and wakes the loops of this process."""

    def __init__(self, dsn: str, on_hint: Callable[[str], None]) -> None:
        """Wake by calling `on_hint` with the payload; the address must not be a pooler's."""
        self._dsn = dsn
        self._on_hint = on_hint

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is opened again."""
        while True:
            try:
                await self._listen()
            except CATCH:
                # What was missed meanwhile is found by the next poll.
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        """Hold one connection until it is lost; a dead link is found by asking."""
        connection = await asyncpg.connect(
            self._dsn, timeout=RECONNECT_SECONDS, server_settings={"application_name": "juggernaut"}
        )
        try:
            await connection.add_listener(CHANNEL, self._heard)
            self._on_hint("")  # what was said before is lost: everybody looks
            while True:
                await asyncio.sleep(CHECK_SECONDS)
                await connection.execute("", timeout=RECONNECT_SECONDS)
        finally:
            connection.terminate()

    def _heard(self, *heard: object) -> None:
        """Pass the payload on; asyncpg calls with (connection, pid, channel, payload)."""
        self._on_hint(str(heard[-1]))
