"""The port of cassettes: where what passed in an attempt is written, and read for a fork."""

from __future__ import annotations

from typing import Protocol

from juggernaut.domain.cassette import Cassette


class Cassettes(Protocol):
    """The folder of cassettes, by their plain file names."""

    async def append(self, name: str, line: bytes) -> None:
        """Add one whole line to a cassette; raises OSError."""
        ...

    async def read(self, name: str, digest: str | None) -> Cassette:
        """Read a cassette with these contents; InvalidInput when it is not there or another one."""
        ...
