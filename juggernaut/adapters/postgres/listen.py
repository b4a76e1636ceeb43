"""LISTEN as a hint: it may be late, lost or forged, so the loops poll as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import asyncpg

from juggernaut.adapters.postgres.queries import CATCH, sql

CHANNEL: Final = "juggernaut_work"
CHECK_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 10.0
RECONNECT_SECONDS: Final = 5.0


class Listener:
    """One connection that waits for NOTIFY and wakes the loops of this process."""

    def __init__(
        self,
        dsn: str | Callable[[], str],
        on_hint: Callable[[str], None],
        *,
        role: str | None = None,
    ) -> None:
        """Wake by calling `on_hint` with the payload; the address must not be a pooler's.

        dsn: the address, or what gives the one that a new connection shall use.
        role: what a shared login drops to on connect.
        """
        self._dsn = dsn
        self._settings = {"application_name": "juggernaut", **({"role": role} if role else {})}
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
            self._dsn if isinstance(self._dsn, str) else self._dsn(),
            timeout=ANSWER_SECONDS,
            server_settings=self._settings,
        )
        try:
            await connection.add_listener(CHANNEL, self._heard)
            self._on_hint("")  # what was said before is lost: everybody looks
            while True:
                await asyncio.sleep(CHECK_SECONDS)
                await connection.fetch(sql("check_alive"), timeout=ANSWER_SECONDS)
        finally:
            connection.terminate()

    def _heard(self, *heard: object) -> None:
        """Pass the payload on; asyncpg calls with (connection, pid, channel, payload)."""
        self._on_hint(str(heard[-1]))
