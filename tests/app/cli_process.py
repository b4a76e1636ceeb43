"""Runs `juggernaut` as a real process, with an environment of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def rows(self) -> list[dict[str, object]]:
        """Read standard output as a JSON array."""
        rows: list[dict[str, object]] = json.loads(self.out)
        return rows


def environment(home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Give an environment that holds nothing but `settings` and a HOME."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    # Warnings are errors in the child too.
    return {**kept, "HOME": str(home), "PYTHONWARNINGS": "error", **settings}


async def start(home: Path, *arguments: str, **settings: str) -> asyncio.subprocess.Process:
    """Start a command."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "juggernaut", *arguments),
        cwd=Path(__file__).parents[2],
        env=environment(home, settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def call(home: Path, *arguments: str, **settings: str) -> Ended:
    """Run a command to its end."""
    process = await start(home, *arguments, **settings)
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())
