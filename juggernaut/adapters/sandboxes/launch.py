"""Starts one command under limits, waits for it, and leaves no descendant of it alive.

Run as a script of its own (`python -I -S launch.py SPEC ARGV...`), so that nothing has to happen
between fork and exec inside the daemon, which has threads. It stays as the command's guardian: a
child subreaper, so that a descendant that left the process group and the session still ends up
below it and is killed with the rest.

SIGTERM asks the command to end and kills it after the grace; SIGINT kills at once. The kernel
sends SIGINT when the daemon dies, so that kill -9 of the daemon leaves nothing behind either.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import stat
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
CAPABILITIES: Final = 64
CAPABILITY_VERSION: Final = 0x20080522
CAPABILITY_WORDS: Final = 6

NOT_STARTED: Final = 127
ORPHANED: Final = 125
SIGNAL_BASE: Final = 128
SWEEP_SECONDS: Final = 5.0
SWEEP_PAUSE_SECONDS: Final = 0.005
# The kernel counts no processes for root, so the guardian has to look by itself, this often.
COUNT_SECONDS: Final = 0.2
CALLS: Final = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}


@dataclass(frozen=True, slots=True)
class Spec:
    """What the daemon asks for; the process limit comes on top of what the user runs already."""

    parent: int
    cwd: str
    memory_bytes: int
    file_bytes: int
    processes: int
    cpu_seconds: int
    open_files: int
    grace_seconds: float
    no_new_privileges: bool
    account: int | None = None  # who the command becomes, where it is not who we are


def main(arguments: list[str]) -> int:
    """Guard one command; gives its exit code, 128+n for a signal."""
    spec = Spec(**json.loads(arguments[0]))
    signal.pthread_sigmask(signal.SIG_BLOCK, CALLS)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    _prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != spec.parent:
        return ORPHANED
    guardian = os.getpid()
    child = os.fork()
    if child == 0:
        _become(spec, guardian, arguments[1:])
    status = _watch(child, spec)
    _kill_descendants()
    return SIGNAL_BASE - status if status < 0 else status


def _become(spec: Spec, guardian: int, argv: list[str]) -> None:
    """Turn this child into the command; does not return."""
    try:
        os.setsid()
        _limit(spec)
        if spec.account is not None:
            _change_account(spec.account)
        if spec.no_new_privileges:
            _drop_capabilities()
            _prctl(PR_SET_NO_NEW_PRIVS, 1)
        # As the account of the command, so that a link leads nowhere that it may not enter.
        os.chdir(spec.cwd)
        # After the change of rights, which may undo it.
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:
            os._exit(ORPHANED)
        # Python ignores these two, and what is ignored stays so across exec.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CALLS)
        os.execvp(argv[0], argv)  # noqa: S606 - the point of a launcher
    except (OSError, ValueError) as error:
        os.write(2, f"cannot start {argv[0]!r}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(NOT_STARTED)


def _limit(spec: Spec) -> None:
    """Set the resource limits, never above what is allowed already."""
    wanted = {
        resource.RLIMIT_AS: spec.memory_bytes,
        resource.RLIMIT_FSIZE: spec.file_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: spec.cpu_seconds,
        resource.RLIMIT_NOFILE: spec.open_files,
        resource.RLIMIT_NPROC: spec.processes + _threads_of(spec.account),
    }
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))


def _threads_of(account: int | None) -> int:
    """Count the threads of a user, ours if None: the kernel's process limit counts them all."""
    count, user = 0, os.getuid() if account is None else account
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                if entry.stat().st_uid == user:
                    count += len(os.listdir(f"/proc/{entry.name}/task"))  # noqa: PTH208
    return count


def _change_account(account: int) -> None:
    """Become somebody else, for good and without groups; raises OSError where that is not so."""
    for pipe in (sys.stdout.fileno(), sys.stderr.fileno()):
        if stat.S_ISFIFO(os.fstat(pipe).st_mode):
            os.chown(pipe, account, account)  # or /dev/stderr could not be opened by its name
    _shrink_bounds()
    os.setgroups([])
    os.setresgid(account, account, account)
    os.setresuid(account, account, account)


def _shrink_bounds() -> None:
    """Let no program that is started give a power back."""
    for number in range(CAPABILITIES):
        if _LIBC.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            break  # the kernel knows no more, or this is not root


def _drop_capabilities() -> None:
    """Give up root's powers: what is left of root is an account that owns much."""
    _shrink_bounds()
    header = struct.pack("=Ii", CAPABILITY_VERSION, 0)
    if _LIBC.capset(header, struct.pack(f"={CAPABILITY_WORDS}I", *[0] * CAPABILITY_WORDS)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"capabilities: {os.strerror(number)}")


def _watch(child: int, spec: Spec) -> int:
    """Wait until the command ends, by itself or because the daemon asked; gives its status."""
    deadline: float | None = None
    counts = os.getuid() == 0 and spec.account is None
    pause = COUNT_SECONDS if counts else SWEEP_SECONDS
    while True:
        status = _reap(child)
        if status is not None:
            return status
        if counts and len(descendants(os.getpid())) > spec.processes:
            os.write(2, f"killed: more than {spec.processes} processes\n".encode())
            return _kill_descendants(child)
        left = pause if deadline is None else deadline - time.monotonic()
        call = signal.sigtimedwait(CALLS, max(0.0, left))
        if call is not None and call.si_signo == signal.SIGTERM and deadline is None:
            deadline = time.monotonic() + spec.grace_seconds
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGTERM)
        overdue = deadline is not None and time.monotonic() >= deadline
        if overdue or (call is not None and call.si_signo == signal.SIGINT):
            return _kill_descendants(child)


def _reap(wanted: int) -> int | None:
    """Collect every child that has ended; gives the status of the wanted one among them."""
    found: int | None = None
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == wanted:
                found = os.waitstatus_to_exitcode(status)
    return found


def _kill_descendants(wanted: int = 0) -> int:
    """Kill all that lives below this process; orphans come to us, so a few rounds get them all."""
    found = -int(signal.SIGKILL)
    deadline = time.monotonic() + SWEEP_SECONDS
    while time.monotonic() < deadline:
        living = descendants(os.getpid())
        for pid in living:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        status = _reap(wanted)
        found = found if status is None else status
        if not living:
            break
        signal.sigtimedwait({signal.SIGCHLD}, SWEEP_PAUSE_SECONDS)
    return found


def descendants(root: int) -> list[int]:
    """Give the process ids below a process, zombies too, as /proc has them."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as state:  # noqa: PTH123
                # The name of the program stands in brackets and may hold anything.
                parent = int(state.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _prctl(option: int, value: int) -> None:
    """Set one property of this process; the kernel's refusal is an OSError."""
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")


_LIBC = ctypes.CDLL(None, use_errno=True)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
