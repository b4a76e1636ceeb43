"""Landlock and a filter of system calls: works without any privilege, and without namespaces.

All of the machine is read-only but the work tree, what the caller lists and a HOME of the
command's own. There are no sockets, so neither a network nor the loopback. What is weaker than
bubblewrap: /proc and /tmp are the machine's own (to look at), and hidden folders show names.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from juggernaut.adapters.sandboxes import process, seccomp, walls
from juggernaut.domain import limits
from juggernaut.domain.exchange import CommandResult


class LandlockSandbox:
    """Runs commands behind walls that they put up around themselves."""

    def __init__(self, scratch: Path, hidden: Sequence[Path] = ()) -> None:
        """Use `scratch` for each HOME; `hidden` files and what is in `hidden` folders is closed."""
        self._scratch = scratch
        self._hidden = [str(path.resolve()) for path in hidden if path.exists()]

    @property
    def level(self) -> str:
        """Give the strength."""
        return "landlock"

    async def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        *,
        timeout_seconds: float,
        writable: Sequence[Path] = (),
        memory_bytes: int = limits.COMMAND_MEMORY_BYTES,
    ) -> CommandResult:
        """Run argv inside."""
        reason = process.refusal(argv, cwd) or process.missing(writable) or unavailable()
        if reason is not None:
            return process.not_started(argv, reason)
        words = tuple(argv)
        async with process.fresh_home(self._scratch) as home:
            inside = (*self._walls((home, *writable, cwd)), *words)
            command = process.Command(
                words, inside, cwd, timeout_seconds, True, memory_bytes=memory_bytes
            )
            return await process.run(command, home)

    def _walls(self, writable: Sequence[Path]) -> list[str]:
        """Build the words that stand before the command."""
        column = seccomp.machine()
        spec = walls.Walls(
            hidden=self._hidden,
            readable=[str(path.resolve()) for path in process.interpreter()],
            writable=[str(path.resolve()) for path in writable],
            calls="" if column is None else seccomp.program(column).hex(),
        )
        return [sys.executable, "-I", "-S", walls.__file__, json.dumps(asdict(spec))]


def unavailable() -> str | None:
    """Say why this machine has no such level, or None."""
    if seccomp.machine() is None:
        return "landlock: the numbers of this machine's system calls are not known"
    found = walls.version()
    if found == 0:
        return "landlock: the kernel has none, or it is not in its list of security modules"
    if found < walls.TRUNCATE_SINCE:
        return f"landlock: version {found} cannot hold truncate() back; Linux 6.2 or newer can"
    return None
