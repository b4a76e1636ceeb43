"""Builds the filter of system calls for the Landlock level, as the kernel reads it.

Landlock guards files, TCP and signals. What it does not: sockets of other kinds, other processes'
memory, namespaces, keys, kernel interfaces. There are no sockets at all but stream pairs: a filter
sees numbers and no addresses, so it cannot tell the loopback from the world, and a datagram socket
of a pair could be connected anew. io_uring goes too, because its calls pass no filter.
"""

from __future__ import annotations

import errno
import platform
import struct
from typing import Final

# Numbers of the kernel's interface: name -> x86_64, aarch64 (None: the machine has no such call).
DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    "socket": (41, 198),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
}
CLONE: Final = (56, 220)
CLONE3: Final = (435, 435)
IOCTL: Final = (16, 29)
SOCKETPAIR: Final = (53, 199)

MACHINES: Final = {"x86_64": 0, "aarch64": 1}
ARCHITECTURES: Final = (0xC000003E, 0xC00000B7)
# Any flag of clone() that makes a namespace.
NAMESPACES: Final = 0x7E020080
PUSH_INPUT: Final = 0x5412  # TIOCSTI types for whoever owns the terminal
SOCKET_KIND: Final = 0xF
DATAGRAM: Final = 2
X32_CALLS: Final = 0x40000000  # a second set of numbers on x86_64, which no rule here knows

NUMBER_AT: Final = 0
ARCHITECTURE_AT: Final = 4
ARGUMENTS_AT: Final = 16
ARGUMENT_BYTES: Final = 8

LOAD: Final = 0x20
AND: Final = 0x54
IF_EQUAL: Final = 0x15
IF_AT_LEAST: Final = 0x35
IF_ANY_BIT: Final = 0x45
RETURN: Final = 0x06
ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
REFUSE: Final = 0x00050000


def machine() -> int | None:
    """Give the column of this machine in the tables, None for one that they do not know."""
    return MACHINES.get(platform.machine())


def program(column: int) -> bytes:
    """Build the filter: what is refused gives EPERM, a foreign architecture kills."""
    refused = REFUSE | errno.EPERM
    unknown = REFUSE | errno.ENOSYS
    code = [
        _step(LOAD, ARCHITECTURE_AT),
        _step(IF_EQUAL, ARCHITECTURES[column], 1, 0),
        _step(RETURN, KILL),
        _step(LOAD, NUMBER_AT),
    ]
    if column == MACHINES["x86_64"]:
        code += [_step(IF_AT_LEAST, X32_CALLS, 0, 1), _step(RETURN, unknown)]
    for numbers in DENIED.values():
        number = numbers[column]
        if number is not None:
            code += [_step(IF_EQUAL, number, 0, 1), _step(RETURN, refused)]
    # Its flags are behind a pointer, which a filter cannot follow; libraries fall back to clone().
    code += [_step(IF_EQUAL, CLONE3[column], 0, 1), _step(RETURN, unknown)]
    code += _unless(CLONE[column], 0, [_step(IF_ANY_BIT, NAMESPACES, 0, 1)])
    code += _unless(IOCTL[column], 1, [_step(IF_EQUAL, PUSH_INPUT, 0, 1)])
    datagram = [_step(AND, SOCKET_KIND), _step(IF_EQUAL, DATAGRAM, 0, 1)]
    code += _unless(SOCKETPAIR[column], 1, datagram)
    return b"".join([*code, _step(RETURN, ALLOW)])


def _unless(number: int, argument: int, test: list[bytes]) -> list[bytes]:
    """Refuse one call if its argument passes the test, else allow it."""
    load = _step(LOAD, ARGUMENTS_AT + ARGUMENT_BYTES * argument)
    ends = [_step(RETURN, REFUSE | errno.EPERM), _step(RETURN, ALLOW)]
    body = [load, *test, *ends]
    return [_step(IF_EQUAL, number, 0, len(body)), *body]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Encode one instruction."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
