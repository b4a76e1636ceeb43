"""Puts Landlock and a filter of system calls around itself, then becomes the command.

Run as a script of its own (`python -I -S walls.py SPEC ARGV...`) by the launcher. Needs no
privilege. If one wall cannot be put up, the command does not start.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

NOT_STARTED: Final = 127
PR_SET_NO_NEW_PRIVS: Final = 38
PR_SET_SECCOMP: Final = 22
SECCOMP_MODE_FILTER: Final = 2
FILTER_STEP_BYTES: Final = 8

# The same numbers on every machine.
CREATE_RULESET: Final = 444
ADD_RULE: Final = 445
RESTRICT_SELF: Final = 446
ASK_VERSION: Final = 1
RULE_PATH_BENEATH: Final = 1

EXECUTE: Final = 1 << 0
WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
MAKE_CHAR: Final = 1 << 6
MAKE_BLOCK: Final = 1 << 11
TRUNCATE: Final = 1 << 14
IOCTL_DEV: Final = 1 << 15
FILES_BEFORE_IOCTL: Final = (1 << 15) - 1
FILES_ALL: Final = (1 << 16) - 1
OF_A_FILE: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
NET_ALL: Final = 0b11  # bind and connect of TCP
SCOPE_ALL: Final = 0b11  # abstract sockets and signals
# The versions of Landlock that brought truncate, TCP, ioctl and scopes.
TRUNCATE_SINCE: Final = 3
NET_SINCE: Final = 4
IOCTL_SINCE: Final = 5
SCOPE_SINCE: Final = 6

DEVICES: Final = ("null", "zero", "full", "random", "urandom")


@dataclass(frozen=True, slots=True)
class Walls:
    """What is open: all is readable but `hidden`; `calls` is the filter in hexadecimal."""

    hidden: list[str]
    readable: list[str]
    writable: list[str]
    calls: str


def main(arguments: list[str]) -> int:
    """Become the command; returns only when that cannot be."""
    walls, argv = Walls(**json.loads(arguments[0])), arguments[1:]
    try:
        _check(_LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
        _restrict(walls)
        _filter(bytes.fromhex(walls.calls))
        # Python ignores these two, and what is ignored stays so across exec.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execvp(argv[0], argv)  # noqa: S606 - the point of a launcher
    except (OSError, ValueError) as error:
        os.write(2, f"cannot start {argv[0]!r}: {error}\n".encode(errors="replace"))
    return NOT_STARTED


def version() -> int:
    """Give the version of Landlock that this kernel has, 0 for none or one that is off."""
    return max(0, int(_LIBC.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ASK_VERSION)))


def _restrict(walls: Walls) -> None:
    """Take every right from this process but those of the rules."""
    known = version()
    if known < TRUNCATE_SINCE:
        raise OSError(errno.ENOSYS, f"Landlock {known} is too old, or off")
    files = FILES_ALL if known >= IOCTL_SINCE else FILES_BEFORE_IOCTL
    wanted = struct.pack(
        "=QQQ",
        files,
        NET_ALL if known >= NET_SINCE else 0,
        SCOPE_ALL if known >= SCOPE_SINCE else 0,
    )
    # A kernel takes longer attributes than it knows as long as the rest is zero.
    ruleset = _check(
        _LIBC.syscall(CREATE_RULESET, wanted, ctypes.c_size_t(len(wanted)), 0), "Landlock"
    )
    _allow(ruleset, "/", READ_DIR)
    for place in (*_all_but(set(walls.hidden)), *walls.readable):
        _allow(ruleset, place, READ_FILE | READ_DIR | EXECUTE)
    for name in DEVICES:
        _allow(ruleset, f"/dev/{name}", (READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV) & files)
    for place in walls.writable:
        _allow(ruleset, place, files & ~(MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV))
    _check(_LIBC.syscall(RESTRICT_SELF, ruleset, 0), "Landlock")
    os.close(ruleset)


def _all_but(hidden: set[str]) -> Iterator[str]:
    """Yield the places that together hold everything but what is hidden."""
    waiting = ["/"]
    while waiting:
        place = waiting.pop()
        inside = place.rstrip("/") + "/"
        if place in hidden:
            continue
        if not any(path.startswith(inside) for path in hidden):
            yield place
            continue
        with suppress(OSError), os.scandir(place) as entries:
            waiting += [entry.path for entry in entries if not entry.is_symlink()]


def _allow(ruleset: int, place: str, rights: int) -> None:
    """Open a place, and all below it; one that is not there needs no rule."""
    try:
        beneath = os.open(place, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(beneath).st_mode):
            rights &= OF_A_FILE
        rule = struct.pack("=Qi", rights, beneath)
        _check(_LIBC.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0), f"rule for {place}")
    finally:
        os.close(beneath)


def _filter(code: bytes) -> None:
    """Install the filter of system calls."""
    steps = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(code) // FILTER_STEP_BYTES, ctypes.addressof(steps))
    _check(_LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0), "system calls")


def _check(answer: int, what: str) -> int:
    """Give the answer of the kernel; its refusal is an OSError."""
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return answer


_LIBC = ctypes.CDLL(None, use_errno=True)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
