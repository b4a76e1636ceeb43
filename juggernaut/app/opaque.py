"""Closes this process to others of the same account: they may hold commands of strangers."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

PR_SET_DUMPABLE: Final = 4


def make_opaque() -> None:
    """Refuse /proc/PID/environ, ptrace and core dumps of this process.

    A variable that was removed from os.environ still stands in the first of these.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot close this process: {os.strerror(number)}")
