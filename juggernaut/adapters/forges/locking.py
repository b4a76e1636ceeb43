"""A file lock between coroutines and processes; the kernel drops it when its holder dies."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from juggernaut.domain.errors import ForgeError

LOCK_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.02


@asynccontextmanager
async def locked(path: Path, timeout_seconds: float = LOCK_SECONDS) -> AsyncIterator[None]:
    """Hold the lock of a file; raises ForgeError when somebody else keeps it too long."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ForgeError(f"the lock {path} cannot be opened: {error.strerror}") from None
    try:
        await _take(handle, path, timeout_seconds)
        yield
    finally:
        os.close(handle)


async def _take(handle: int, path: Path, timeout_seconds: float) -> None:
    """Try until the lock is ours; polling, because a blocked flock cannot be cancelled."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ForgeError(
                    f"the lock {path} was held for {timeout_seconds:.0f} seconds:"
                    " see which process hangs there"
                ) from None
            await asyncio.sleep(POLL_SECONDS)
        else:
            return
