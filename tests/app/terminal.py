"""Runs `juggernaut` on a terminal of a given width."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path

from tests.app.cli_process import environment

PLAIN = {"TERM": "xterm", "NO_COLOR": "1"}
LINES = 40


def shown(home: Path, columns: int, *arguments: str, **settings: str) -> str:
    """Run a command to its end; gives what stands on its terminal."""
    ours, theirs = os.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
        process = subprocess.Popen(
            (sys.executable, "-m", "juggernaut", *arguments),
            cwd=Path(__file__).parents[2],
            env=environment(home, PLAIN | settings),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
    finally:
        os.close(theirs)
    with process, os.fdopen(ours, "rb", buffering=0) as screen:
        return b"".join(iter(lambda: piece(screen.fileno()), b"")).decode().replace("\r\n", "\n")


def piece(screen: int) -> bytes:
    """Read what has come; nothing when the command has ended, which Linux calls an error."""
    try:
        return os.read(screen, 65_536)
    except OSError:
        return b""
