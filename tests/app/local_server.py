"""What the launcher's tests do to a server of their own."""

import asyncio
import os
import signal
import time
from collections.abc import Callable

import asyncpg

from juggernaut.app.local_postgres import postmaster
from juggernaut.app.local_postgres.server import LocalServer


async def ask(found: LocalServer, query: str) -> object:
    """One value from the server's juggernaut database."""
    connection = await asyncpg.connect(found.url())
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def kill_postmaster(found: LocalServer) -> int:
    """Kill -9 the postmaster that this test started; returns its PID."""
    pid = postmaster.recorded_pid(found.data_dir)
    assert pid is not None
    assert postmaster.is_postmaster(pid, found.data_dir)
    os.kill(pid, signal.SIGKILL)
    return pid


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that happens soon, with a deadline."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "did not happen in 10 s"
        await asyncio.sleep(0.01)
