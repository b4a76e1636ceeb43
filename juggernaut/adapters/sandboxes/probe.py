"""Finds the strongest sandbox that really works on this machine, by trying it."""

from __future__ import annotations

import asyncio
import shutil
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from juggernaut.adapters.sandboxes.bare import BareSandbox
from juggernaut.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from juggernaut.adapters.sandboxes.landlock import LandlockSandbox, unavailable
from juggernaut.ports import Sandbox

PROBE_SECONDS: Final = 20.0
HELD: Final = 42
# Exits with HELD only if this interpreter runs inside and the machine refuses the file.
TRY_TO_WRITE: Final = f"""
import sys
try:
    open(sys.argv[1], "w").close()
except OSError:
    sys.exit({HELD})
"""


async def best_sandbox(scratch: Path, hidden: Sequence[Path], place: Path | None = None) -> Sandbox:
    """Give the first of bubblewrap and landlock that runs commands and holds writes back.

    Where neither does, it is the bare level; for `place` see there.
    """
    program = shutil.which("bwrap")
    if program is not None:
        candidate = BubblewrapSandbox(program, scratch, hidden)
        if await holds(candidate, scratch):
            return candidate
    if unavailable() is None:
        landlock = LandlockSandbox(scratch, hidden)
        if await holds(landlock, scratch):
            return landlock
    bare = BareSandbox(scratch, place)
    await bare.look()
    return bare


def account_told(sandbox: Sandbox) -> str | None:
    """Say as whom commands run at the level bare; None where walls hold them."""
    return sandbox.told if isinstance(sandbox, BareSandbox) else None


async def holds(sandbox: Sandbox, scratch: Path) -> bool:
    """Try one harmless command, and one write to the root of the machine."""
    await asyncio.to_thread(scratch.mkdir, parents=True, exist_ok=True)
    plain = await sandbox.run(["true"], scratch, timeout_seconds=PROBE_SECONDS)
    if plain.exit_code != 0:
        return False
    target = Path("/", f".juggernaut-probe-{uuid.uuid4().hex}")
    argv = [sys.executable, "-I", "-S", "-c", TRY_TO_WRITE, str(target)]
    attempt = await sandbox.run(argv, scratch, timeout_seconds=PROBE_SECONDS)
    written = await asyncio.to_thread(_remove, target)
    return attempt.exit_code == HELD and not written


def _remove(target: Path) -> bool:
    """Remove what a sandbox that does not hold let through; True when it was there."""
    try:
        target.unlink()
    except FileNotFoundError:
        return False
    return True
