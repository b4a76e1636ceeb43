"""What a hostile command would try; the self-check runs this inside a sandbox.

Run as a script of its own with one JSON document: where things are on the machine. It prints which
attempts seemed to work. Nothing that it tries does harm where it works.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

PTRACE_SEIZE: Final = 0x4206
PTRACE_DETACH: Final = 17
VICTIM: Final = "victim-"
CALM_SECONDS: Final = 60
WRITTEN: Final = "written from inside"
DISK: Final = os.makedev(8, 0)

Facts = dict[str, Any]


def write(facts: Facts) -> bool:
    """Make a file in a folder of the machine."""
    Path(facts["outside"], "plain").write_text(WRITTEN)
    return True


def write_through_link(facts: Facts) -> bool:
    """The same through a link in the work tree."""
    Path("way").symlink_to(facts["outside"])
    Path("way", "linked").write_text(WRITTEN)
    return True


def write_through_proc(facts: Facts) -> bool:
    """The same through the roots that /proc shows of this and of other processes."""
    reached = False
    for root in ("/proc/self/root", "/proc/1/root", f"/proc/{os.getppid()}/root"):
        try:
            Path(root + facts["outside"], "rooted").write_text(WRITTEN)
            reached = True
        except OSError:
            continue
    return reached


def write_through_hard_link(facts: Facts) -> bool:
    """Take a second name for a file of the machine, and write to that."""
    Path("second-name").hardlink_to(Path(facts["outside"], "kept"))
    Path("second-name").write_text(WRITTEN)
    return True


def truncate(facts: Facts) -> bool:
    """Empty a file of the machine without opening it."""
    os.truncate(Path(facts["outside"], "long"), 0)
    return True


def read_hidden(facts: Facts) -> bool:
    """Read a file of a secret."""
    return bool(Path(facts["hidden"]).read_bytes())


def environment(facts: Facts) -> bool:
    """Find a variable that was not given on purpose."""
    return bool(set(os.environ) - set(facts["variables"]))


def read_daemon(facts: Facts) -> bool:
    """Read the environment of another process of the same account."""
    return bool(Path("/proc", _victim(facts), "environ").read_bytes())


def trace_daemon(facts: Facts) -> bool:
    """Attach to that process as a debugger."""
    pid = int(_victim(facts))
    if _LIBC.ptrace(PTRACE_SEIZE, pid, None, None) != 0:
        return False
    _LIBC.ptrace(PTRACE_DETACH, pid, None, None)
    return True


def signal_daemon(facts: Facts) -> bool:
    """Ask whether it could be killed."""
    os.kill(int(_victim(facts)), 0)
    return True


def network(facts: Facts) -> bool:
    """Connect to a port of the machine."""
    with socket.create_connection(("127.0.0.1", facts["port"]), timeout=CALM_SECONDS):
        return True


def abstract_socket(facts: Facts) -> bool:
    """Connect to a socket that has no file."""
    with socket.socket(socket.AF_UNIX) as way:
        way.connect("\0" + facts["mark"])
    return True


def named_socket(facts: Facts) -> bool:
    """Connect to a socket of a service in /tmp, where /run is as well."""
    with socket.socket(socket.AF_UNIX) as way:
        way.connect(facts["service"])
    return True


def device(_: Facts) -> bool:
    """Make a device file for a disk."""
    os.mknod("disk", stat.S_IFBLK | stat.S_IRUSR, DISK)
    return True


def huge_file(facts: Facts) -> bool:
    """Fill the disk with one file."""
    with Path("huge").open("wb") as file:
        file.truncate(facts["file_bytes"] + 1)
    return True


def huge_memory(facts: Facts) -> bool:
    """Take more memory than a command may have."""
    return bool(bytearray(facts["memory_bytes"] + 1))


def many_files(facts: Facts) -> bool:
    """Lift the limit of open files."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (facts["files"] + 1, facts["files"] + 1))
    return True


ATTACKS: Final[tuple[Callable[[Facts], bool], ...]] = (
    *(write, write_through_link, write_through_proc, write_through_hard_link, truncate),
    *(read_hidden, environment, read_daemon, trace_daemon, signal_daemon),
    *(network, abstract_socket, named_socket, device, huge_file, huge_memory, many_files),
)


def many_processes(facts: Facts) -> bool:
    """Start more processes than a command may have; each only waits."""
    for _ in range(facts["processes"]):
        if os.fork() == 0:
            signal.alarm(CALM_SECONDS)
            signal.pause()
            os._exit(0)
    time.sleep(1)  # long enough for somebody who counts
    return True


def _victim(facts: Facts) -> str:
    """Find the other process; raises FileNotFoundError where it cannot be seen."""
    name = (VICTIM + facts["mark"]).encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if name in words:
                return entry.name
    raise FileNotFoundError(VICTIM)


def attempt(attack: Callable[[Facts], bool], facts: Facts) -> bool:
    """Try one; a refusal of the system is a failure of the attack."""
    try:
        return attack(facts)
    except (OSError, ValueError, MemoryError):
        return False


def main(facts: Facts) -> int:
    """Try what was asked for: everything quick, or the processes."""
    chosen = (many_processes,) if facts["fork"] else ATTACKS
    for attack in chosen:
        worked = attempt(attack, facts)
        sys.stdout.write(json.dumps([attack.__name__, worked]) + "\n")
        sys.stdout.flush()
    return 0


_LIBC = ctypes.CDLL(None, use_errno=True)

if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
