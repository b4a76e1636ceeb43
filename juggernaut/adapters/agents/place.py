"""Where a code agent works besides its tree: a HOME of its own, and the daemon's sockets.

HOME stays as long as the work tree does, because an agent keeps its sessions there. The sockets
and the description of the run lie in another folder, new for each run: the daemon never opens a
name that an agent could have put in its place.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAME_CHARS: Final = 16
OF: Final = "worktree"  # the file that names the work tree


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one run."""

    home: Path
    doors: Path

    def listen(self, name: str) -> socket.socket:
        """Bind a socket by its name in the folder of the sockets, however long that path is."""
        handle = os.open(self.doors, os.O_PATH | os.O_DIRECTORY)
        try:
            bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            bound.bind(f"/proc/self/fd/{handle}/{name}")
        finally:
            os.close(handle)
        return bound

    def write(self, name: str, text: str) -> None:
        """Write a file that only this account can read."""
        path = self.doors / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")


@asynccontextmanager
async def place_for(scratch: Path, worktree: str) -> AsyncIterator[Place]:
    """Lend the place of a work tree; places whose tree is gone are removed on the way."""
    place = await asyncio.to_thread(_make, scratch, worktree)
    try:
        yield place
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, place.doors, True))


def _make(scratch: Path, worktree: str) -> Place:
    """Sweep, and make what is missing."""
    scratch.mkdir(parents=True, exist_ok=True)
    for old in scratch.iterdir():
        mark = old / OF
        if not mark.is_file() or not Path(mark.read_text(encoding="utf-8")).is_dir():
            shutil.rmtree(old, ignore_errors=True)
    folder = scratch.resolve() / hashlib.sha256(os.fsencode(worktree)).hexdigest()[:NAME_CHARS]
    home = folder / "home"
    for path in (folder, home, home / "tmp"):
        path.mkdir(exist_ok=True, mode=0o700)
    (folder / OF).write_text(worktree, encoding="utf-8")
    return Place(home, Path(tempfile.mkdtemp(prefix="doors-", dir=folder)))
