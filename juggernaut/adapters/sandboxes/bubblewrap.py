"""Bubblewrap: own namespaces, no network, a read-only machine, private /proc /dev /tmp /run.

Writable are the work tree, what the caller lists and a HOME of the command's own. When the time
is up there is no grace inside: bwrap ends at the first signal and takes everything with it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from juggernaut.adapters.sandboxes import launch, process
from juggernaut.domain import limits
from juggernaut.domain.exchange import CommandResult

# Sockets of the machine's services live in these; a read-only mount would not stop a connect().
PRIVATE: Final = ("/tmp", "/var/tmp", "/run")  # noqa: S108 - they are replaced, not used
EXEC_REFUSED: Final = "bwrap: execvp "


class BubblewrapSandbox:
    """Runs commands under bwrap."""

    def __init__(self, program: str, scratch: Path, hidden: Sequence[Path] = ()) -> None:
        """Use the bwrap at `program`; `hidden` files and folders are empty inside."""
        self._program = program
        self._scratch = scratch
        self._hidden = tuple(path.resolve() for path in hidden if path.exists())

    @property
    def level(self) -> str:
        """Give the strength."""
        return "bubblewrap"

    async def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        *,
        timeout_seconds: float,
        writable: Sequence[Path] = (),
        memory_bytes: int = limits.COMMAND_MEMORY_BYTES,
    ) -> CommandResult:
        """Run argv inside; a command that bwrap cannot find or start ends with 127."""
        reason = process.refusal(argv, cwd) or process.missing(writable)
        if reason is not None:
            return process.not_started(argv, reason)
        words = tuple(argv)
        async with process.fresh_home(self._scratch) as home:
            inside = (*self._walls((home, *writable, cwd), cwd), "--", *words)
            # A bwrap that is setuid root needs its privilege; it drops it for the command.
            command = process.Command(
                words, inside, cwd, timeout_seconds, False, memory_bytes=memory_bytes
            )
            result = await process.run(command, home)
        if result.exit_code == 1 and result.output.startswith(EXEC_REFUSED):
            return replace(result, exit_code=launch.NOT_STARTED)
        return result

    def _walls(self, writable: Sequence[Path], cwd: Path) -> list[str]:
        """Build bwrap's options; a later mount covers an earlier one."""
        masked = [Path(path) for path in PRIVATE if Path(path).is_dir()]
        masked = [path for path in masked if not path.is_symlink()] + list(self._hidden)
        options = [self._program, "--unshare-all", "--die-with-parent", "--new-session"]
        options += ["--cap-drop", "ALL", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
        # As root it would be writable, and core_pattern lets the kernel start programs outside.
        options += ["--ro-bind-try", "/proc/sys", "/proc/sys"]
        for path in masked:
            if path.is_dir():
                options += ["--size", str(limits.COMMAND_FILE_BYTES), "--tmpfs", str(path)]
            else:
                options += ["--ro-bind", os.devnull, str(path)]
        for path in process.interpreter():
            if any(path.is_relative_to(mask) for mask in masked):
                options += ["--ro-bind", str(path), str(path)]
        for path in (place.resolve() for place in writable):
            options += ["--bind", str(path), str(path)]
        return [*options, "--chdir", str(cwd.resolve())]
