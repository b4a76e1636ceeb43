"""The account that bare gives to commands where the daemon is root, and why there may be none.

A number is drawn for each work tree, out of so many that no two trees have the same, and out of
those that nobody hands out to people, services or containers. The owner of the tree's folder is
where it is remembered.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
from pathlib import Path
from typing import Final

FIRST: Final = 0x7000_0000
COUNT: Final = 0x0FFF_FFFF
# What root needs to give files away, to read them afterwards, to become somebody, and to kill them.
POWERS: Final = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7}
HEX: Final = 16


def is_drawn(number: int) -> bool:
    """Say whether this is an account of a work tree."""
    return FIRST <= number < FIRST + COUNT


def draw() -> int:
    """Give a number that no other tree has."""
    return FIRST + secrets.randbelow(COUNT)


def lacks(about: Path = Path("/proc/self")) -> str | None:
    """Say why this process can give no command another account, or None."""
    if os.geteuid() != 0:
        return "this process is not root"
    status = (about / "status").read_text(encoding="utf-8")
    held = int(status.partition("CapEff:")[2].split()[0], HEX)
    missing = [f"CAP_{name}" for name, bit in POWERS.items() if not held >> bit & 1]
    if missing:
        return f"this process is root without {', '.join(missing)}"
    for line in (about / "uid_map").read_text(encoding="utf-8").splitlines():
        first, _, count = (int(word) for word in line.split())
        if first <= FIRST and first + count >= FIRST + COUNT:
            return None
    return f"this user namespace has no accounts from {FIRST} on"


def closed(place: Path) -> str | None:
    """Name the first folder on the way into a place that not every account may enter, or None."""
    there = place.resolve()
    for folder in (*reversed(there.parents), there):
        if folder.exists() and not folder.stat().st_mode & stat.S_IXOTH:
            return (
                f"the folder {folder} is closed to other accounts: let JUGGERNAUT_DATA_DIR lie"
                " where every account may enter"
            )
    return None


async def end_all(account: int) -> None:
    """Kill every process of a drawn account, in one step that no fork can outrun."""
    if not is_drawn(account):
        raise ValueError(f"account {account} is not one of a work tree: nothing of it is killed")
    killer = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", "kill -s KILL -- -1"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        cwd="/",
        env={},
        user=account,
        group=account,
        extra_groups=[],
    )
    await killer.wait()
