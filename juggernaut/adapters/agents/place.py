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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from juggernaut.relay.doors import Doors, open_doors

NAME_CHARS: Final = 16
OF: Final = "worktree"  # the file that names the work tree


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one run."""

    home: Path
    doors: Doors


@asynccontextmanager
async def place_for(scratch: Path, worktree: str) -> AsyncIterator[Place]:
    """Lend the place of a work tree; places whose tree is gone are removed on the way."""
    place = await asyncio.to_thread(_make, scratch, worktree)
    try:
        yield place
    finally:
        await asyncio.shield(asyncio.to_thread(place.doors.remove))


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
    return Place(home, open_doors(folder))
