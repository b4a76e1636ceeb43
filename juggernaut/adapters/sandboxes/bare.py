"""The honest weakest level: own session, built environment, limits, and nothing that hides files.

A command here can read and write whatever the daemon's user can, and has the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from juggernaut.adapters.sandboxes import process
from juggernaut.domain import limits
from juggernaut.domain.exchange import CommandResult


class BareSandbox:
    """Runs commands as plain child processes."""

    def __init__(self, scratch: Path) -> None:
        """Use `scratch` for the private HOME of each command."""
        self._scratch = scratch

    @property
    def level(self) -> str:
        """Give the strength."""
        return "bare"

    async def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        *,
        timeout_seconds: float,
        writable: Sequence[Path] = (),
        memory_bytes: int = limits.COMMAND_MEMORY_BYTES,
    ) -> CommandResult:
        """Run argv; `writable` adds nothing here, where everything is as writable as it is."""
        reason = process.refusal(argv, cwd)
        if reason is not None:
            return process.not_started(argv, reason)
        async with process.fresh_home(self._scratch) as home:
            words = tuple(argv)
            command = process.Command(
                words, words, cwd, timeout_seconds, True, memory_bytes=memory_bytes
            )
            return await process.run(command, home)
