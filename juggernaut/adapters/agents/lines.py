"""Splits a stream of bytes into lines, whatever way it was cut, within a bound."""

from __future__ import annotations

from collections.abc import Iterator


class Lines:
    """Gathers bytes; a line above the bound is dropped whole, and counted."""

    def __init__(self, most_bytes: int) -> None:
        """Begin empty."""
        self._most = most_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self.dropped = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take bytes; gives the lines that they complete, without their ends and without blanks."""
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._keep(end)
            yield from self.rest()
        self._keep(rest)

    def rest(self) -> Iterator[bytes]:
        """Give what is left as a line."""
        if self._size > self._most:
            self.dropped += 1
        else:
            line = b"".join(self._parts).strip()
            if line:
                yield line
        self._parts, self._size = [], 0

    def _keep(self, part: bytes) -> None:
        """Keep a part of the present line, while that is within the bound."""
        self._size += len(part)
        if self._size <= self._most:
            self._parts.append(part)
        else:
            self._parts = []
