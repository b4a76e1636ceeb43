"""The listener hears, survives its own check, and comes back after a lost connection."""

from __future__ import annotations

import asyncio

import pytest

from juggernaut.adapters.postgres import listen
from juggernaut.adapters.postgres.listen import CHANNEL, Listener
from tests.fixtures_postgres import Database


async def test_it_hears_and_comes_back(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hint for everybody at each connection; payloads as sent; many checks in between."""
    monkeypatch.setattr(listen, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(listen, "RECONNECT_SECONDS", 0.05)
    heard: asyncio.Queue[str] = asyncio.Queue()
    listening = asyncio.create_task(Listener(database.url, heard.put_nowait).run())
    connection = await database.connect()
    try:
        assert await asyncio.wait_for(heard.get(), 10) == ""
        for _ in range(5):
            await connection.execute("SELECT pg_sleep(0.02)")
        await connection.execute("SELECT pg_notify($1, 'code')", CHANNEL)
        assert await asyncio.wait_for(heard.get(), 10) == "code"
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        assert await asyncio.wait_for(heard.get(), 10) == "", "connected again"
        assert not listening.done()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
