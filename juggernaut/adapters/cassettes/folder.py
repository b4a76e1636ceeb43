"""A folder of cassettes: a file an attempt, a line an exchange.

A line is written with one call, so kill -9 leaves whole lines and at most one that is cut off.
Only this user reads them. Where a new one begins, the oldest go, so that a disk does not fill up.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from juggernaut.domain.cassette import NAME, Cassette
from juggernaut.domain.cassette_lines import read_cassette
from juggernaut.domain.errors import ConfigError, InvalidInput
from juggernaut.domain.limits import MIB, TAPE_BYTES

OWN_FILE: Final = stat.S_IRUSR | stat.S_IWUSR
# The last line of a cassette may go past the bound of what is recorded.
MOST_BYTES: Final = TAPE_BYTES + MIB


@dataclass(frozen=True, slots=True)
class Read:
    """A cassette and the sha256 of its file."""

    cassette: Cassette
    digest: str


class CassetteFolder:
    """Writes and reads the cassettes of one folder; implements the port Cassettes."""

    def __init__(self, folder: Path, keep: int = 0) -> None:
        """Use a folder, which is made, for so many cassettes (0: for all); raises ConfigError."""
        try:
            folder.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"the folder for cassettes {folder} cannot be made: {error.strerror};"
                " set JUGGERNAUT_RECORD"
            ) from None
        self._folder = folder.resolve()
        self._keep = keep

    async def append(self, name: str, line: bytes) -> None:
        """Add one whole line to a cassette; raises OSError."""
        new = await asyncio.to_thread(_append, self._folder / checked(name), line)
        if new and self._keep:
            await asyncio.to_thread(self._forget)

    async def read(self, name: str, digest: str | None) -> Cassette:
        """Read a cassette with these contents; InvalidInput when it is not there or another one."""
        found = await asyncio.to_thread(load, self._folder / checked(name))
        if digest is not None and found.digest != digest:
            raise InvalidInput(
                f"cassette {name} is not the one that was meant: its sha256 is {found.digest},"
                f" not {digest}"
            )
        return found.cassette

    def newest(self, task: str) -> Path | None:
        """Give the cassette of a task's newest attempt, if there is one."""
        found = [path for path in self._folder.glob(f"{task}-*.jsonl") if NAME.fullmatch(path.name)]
        return max(found, key=lambda path: int(path.stem.rpartition("-")[2]), default=None)

    def _forget(self) -> None:
        """Remove the cassettes that were written to the longest ago, and nothing else."""
        written: list[tuple[int, str]] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                        written.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
        for _, name in sorted(written)[: -self._keep]:
            (self._folder / name).unlink(missing_ok=True)


def checked(name: str) -> str:
    """Refuse a name that is none of a cassette: it could lead elsewhere."""
    if not NAME.fullmatch(name):
        raise InvalidInput(f"{name[:80]!r} is not the name of a cassette: TASK-FENCE.jsonl")
    return name


def load(path: Path) -> Read:
    """Read a file; raises InvalidInput that names it and what is wrong."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"cassette {path} cannot be read: {error.strerror}") from None
    if len(raw) > MOST_BYTES:
        raise InvalidInput(f"cassette {path} is larger than {MOST_BYTES} bytes: no cassette is")
    try:
        lines = raw.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"cassette {path} is not text: {error}") from None
    whole = [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    try:
        cassette = read_cassette(whole)
    except InvalidInput as error:
        raise InvalidInput(f"cassette {path}, {error}") from None
    return Read(cassette, hashlib.sha256(raw).hexdigest())


def _append(path: Path, line: bytes) -> bool:
    """Write with one call at the end of the file; says whether it is a new one."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
    try:
        descriptor, new = os.open(path, flags), False
    except FileNotFoundError:
        descriptor, new = os.open(path, flags | os.O_CREAT, OWN_FILE), True
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(f"{path} took a part of a line: the disk may be full")
    finally:
        os.close(descriptor)
    return new
