"""Bubblewrap: own namespaces, no network, a read-only machine, private /proc /dev /tmp /run.

Writable are the work tree, what the caller lists and a HOME of the command's own. When the time
is up there is no grace inside: bwrap ends at the first signal and takes everything with it.
"""

from __future__ import annotations

import os
import sys
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
    ) -> CommandResult:
        """Run argv inside; a command that bwrap cannot find or start ends with 127."""
        reason = process.refusal(argv, cwd) or _missing(writable)
        if reason is not None:
            return process.not_started(argv, reason)
        words = tuple(argv)
        async with process.fresh_home(self._scratch) as home:
            inside = (*self._walls((home, *writable, cwd), cwd), "--", *words)
            # A bwrap that is setuid root needs its privilege; it drops it for the command.
            command = process.Command(words, inside, cwd, timeout_seconds, False)
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
        for path in masked:
            if path.is_dir():
                options += ["--size", str(limits.COMMAND_FILE_BYTES), "--tmpfs", str(path)]
            else:
                options += ["--ro-bind", os.devnull, str(path)]
        for path in _interpreter():
            if any(path.is_relative_to(mask) for mask in masked):
                options += ["--ro-bind", str(path), str(path)]
        for path in (place.resolve() for place in writable):
            options += ["--bind", str(path), str(path)]
        return [*options, "--chdir", str(cwd.resolve())]


def _interpreter() -> list[Path]:
    """Give the folders that this Python needs, real and as it is called, without repeats."""
    named = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).parent]
    return list(dict.fromkeys([*named, *(path.resolve() for path in named)]))


def _missing(writable: Sequence[Path]) -> str | None:
    """Name a writable path that is not there: bwrap could not mount it."""
    gone = [str(path) for path in writable if not path.exists()]
    return f"cannot open {', '.join(gone)} for writing: no such folder" if gone else None
