"""The output of a command: always drained, so that it never blocks, and never kept whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

CHUNK_BYTES: Final = 65_536
# A pipe holds 1 MiB at most; a straggler that goes on writing must not keep us here.
LAST_CHUNKS: Final = 32


class Output:
    """Reads one pipe inside the running loop and keeps its head and its tail."""

    def __init__(self, limit_bytes: int) -> None:
        """Open the pipe and begin to read; `close` must be called in the same loop."""
        self._half = limit_bytes // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._seen = 0
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reading, self._read)

    @contextmanager
    def writing_end(self) -> Iterator[int]:
        """Lend the end that the command writes to; it is closed on this side afterwards."""
        try:
            yield self._writing
        finally:
            os.close(self._writing)

    @property
    def truncated(self) -> bool:
        """Say whether something between head and tail was thrown away."""
        return self._seen > 2 * self._half

    def text(self) -> str:
        """Give what was kept, with a line where the rest is missing."""
        tail = bytes(self._tail[-self._half :])
        middle = ""
        if self.truncated:
            missing = self._seen - len(self._head) - len(tail)
            middle = f"\n[... {missing} bytes of output left out ...]\n"
        head = bytes(self._head)
        if not middle:
            return (head + tail).decode(errors="replace")
        return head.decode(errors="replace") + middle + tail.decode(errors="replace")

    def close(self) -> None:
        """Take what is still in the pipe without waiting, and let go of it."""
        self._loop.remove_reader(self._reading)
        for _ in range(LAST_CHUNKS):
            if not self._read():
                break
        os.close(self._reading)

    def _read(self) -> bool:
        """Take one chunk; False when there is none now or never again."""
        try:
            chunk = os.read(self._reading, CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._loop.remove_reader(self._reading)
            return False
        self._seen += len(chunk)
        room = self._half - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        if len(self._tail) > 2 * self._half + CHUNK_BYTES:
            del self._tail[: -self._half]
        return True
