"""Closes this process to others of the same account: they may hold commands of strangers."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

PR_SET_DUMPABLE: Final = 4
# Fields of /proc/self/stat, counted after the name of the program: proc(5) has 50 and 51.
ENVIRONMENT_FIELDS: Final = slice(47, 49)


def make_opaque() -> None:
    """Refuse /proc/PID/environ, ptrace and core dumps of this process."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot close this process: {os.strerror(number)}")


def forget_variables(names: Iterable[str]) -> None:
    """Take variables out of the environment of this process, and of the copy in /proc.

    A variable that is removed from os.environ alone still stands in /proc/PID/environ, where root
    reads it even of a process that is closed.
    """
    wanted = tuple(f"{name}=".encode() for name in names)
    for name in wanted:
        os.environ.pop(name[:-1].decode(), None)
    if sys.platform != "linux":
        return
    start, end = _environment()
    for entry, place in _entries(ctypes.string_at(start, end - start)):
        for name in wanted:
            if entry.startswith(name):
                ctypes.memset(start + place + len(name), 0, len(entry) - len(name))


def _environment() -> tuple[int, int]:
    """Give where the kernel put the environment of this process at its start."""
    text = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    start, end = text.rpartition(")")[2].split()[ENVIRONMENT_FIELDS]
    return int(start), int(end)


def _entries(block: bytes) -> Iterable[tuple[bytes, int]]:
    """Give each entry of an environment with its place."""
    place = 0
    for entry in block.split(b"\0"):
        yield entry, place
        place += len(entry) + 1
