"""Gives a work tree to the account of its commands.

It stays theirs: root reads it and commits from it all the same, so nothing is ever given back. A
command may have left tricks in it. A link is never followed, and what has a second name or an owner
that is neither root nor a tree's account is left alone, because it may be a file of the machine.
The count of names can be trusted only while no command runs in the tree: the caller sees to that.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from juggernaut.adapters.sandboxes.account import draw, is_drawn

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PINNED: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
# Each level holds a descriptor; what lies deeper keeps its owner.
DEPTH: Final = 128


def account_of(tree: Path) -> int:
    """Give the account that a tree has, or draw one."""
    owner = tree.lstat().st_uid
    return owner if is_drawn(owner) else draw()


def hand_over(place: Path, base: Path, account: int) -> None:
    """Give a folder below `base` and all in it away, and let the account get there.

    Raises OSError where a link stands in the way, or the file system knows no owners.
    """
    _open_way(base, place, account)
    handle = os.open(place, FOLDER)
    try:
        found = os.fstat(handle)
        # Not for the eyes of the command beside it, which has another account.
        if stat.S_IMODE(found.st_mode) != stat.S_IRWXU:
            os.chmod(handle, stat.S_IRWXU)  # noqa: PTH101 - a descriptor
        _give(handle, found.st_dev, account, DEPTH)
        # Last, so that nobody new gets in while we look at what is in there.
        if found.st_uid != account:
            os.chown(handle, account, account)
    finally:
        os.close(handle)


def _open_way(base: Path, place: Path, account: int) -> None:
    """Let others search, not list, the daemon's own folders between base and a place."""
    between = [folder for folder in reversed(place.parents) if folder.is_relative_to(base)]
    for folder in between:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise OSError(errno.ENOTDIR, "not a folder, or a link", str(folder))
        if found.st_uid != account and not found.st_mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)


def _give(folder: int, device: int, account: int, depth: int) -> None:
    """Give away what lies in an open folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            # Gone or another thing by now: then somebody else works there.
            with suppress(FileNotFoundError, NotADirectoryError):
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISLNK(found.st_mode) or found.st_dev != device:
                    continue
                if found.st_uid != account:
                    _give_one(entry.name, folder, account)
                if stat.S_ISDIR(found.st_mode) and depth:
                    _give_below(entry.name, folder, device, account, depth - 1)


def _give_below(name: str, folder: int, device: int, account: int, depth: int) -> None:
    """Go into one folder of an open folder."""
    below = os.open(name, FOLDER, dir_fd=folder)
    try:
        _give(below, device, account, depth)
    finally:
        os.close(below)


def _give_one(name: str, folder: int, account: int) -> None:
    """Give one entry away: what is looked at is what is given, whatever bears the name by then."""
    handle = os.open(name, PINNED, dir_fd=folder)
    try:
        found = os.fstat(handle)
        ours = found.st_uid == os.geteuid() or is_drawn(found.st_uid)
        kind = stat.S_IFMT(found.st_mode)
        single = kind == stat.S_IFDIR or found.st_nlink == 1
        if ours and single and kind in {stat.S_IFDIR, stat.S_IFREG, stat.S_IFSOCK}:
            os.chown(f"/proc/self/fd/{handle}", account, account)
    finally:
        os.close(handle)
