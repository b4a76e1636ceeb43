"""The work tree as the tools may touch it: every step is opened without following a link.

A path is checked and then walked folder by folder with O_NOFOLLOW, so that a link that is put
in its place between check and use is refused by the kernel.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from juggernaut.domain import limits
from juggernaut.domain.errors import InvalidInput

Parts = tuple[str, ...]

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO would wait for a writer for ever.
FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
PLAIN_MODE: Final = 0o644
NAME_BYTES: Final = 255


class Missing(InvalidInput):
    """There is nothing of this name."""


def parse(path: str) -> Parts:
    """Split a relative path; raises InvalidInput for one that no tool may touch."""
    if len(path) > limits.TOOL_PATH_CHARS:
        raise InvalidInput(f"the path has {len(path)} characters; use a shorter one")
    if not path.isprintable():
        raise InvalidInput(f"path {path!r} holds a control character")
    if path.startswith("/"):
        raise InvalidInput(f"path {path} is absolute; give it relative to the work tree")
    parts = tuple(part for part in path.split("/") if part not in {"", "."})
    for part in parts:
        if part == "..":
            raise InvalidInput(f"path {path} has '..'; name it from the root of the work tree")
        if is_git(part):
            raise InvalidInput(f"path {path} is inside git's own folder, which is closed")
        if len(part.encode()) > NAME_BYTES:
            raise InvalidInput(f"a part of the path has more than {NAME_BYTES} bytes")
    return parts


def is_git(name: str) -> bool:
    """Say whether some file system would take this name for .git."""
    visible = "".join(mark for mark in name if unicodedata.category(mark) != "Cf")
    plain = unicodedata.normalize("NFKC", visible).casefold().split(":")[0].rstrip(" .")
    return plain in {".git", "git~1"}


class WorkTree:
    """Reads and writes regular files below one folder."""

    def __init__(self, root: Path) -> None:
        """Take the root as given: it comes from the daemon, not from a model."""
        self.root = root

    @contextmanager
    def folder(self, parts: Parts, *, create: bool = False) -> Iterator[int]:
        """Open a folder as a descriptor, making missing ones if asked."""
        descriptor = os.open(self.root, FOLDER & ~os.O_NOFOLLOW)
        try:
            for place, part in enumerate(parts, 1):
                with _explained(parts[:place], descriptor):
                    if create:
                        with suppress(FileExistsError):
                            os.mkdir(part, dir_fd=descriptor)  # noqa: PTH102 - needs dir_fd
                    below = os.open(part, FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def is_folder(self, parts: Parts) -> bool:
        """Say whether this is a folder or else a regular file; raises for anything else."""
        if not parts:
            return True
        with self.folder(parts[:-1]) as parent, _explained(parts, parent):
            mode = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False).st_mode  # noqa: PTH116
            if stat.S_ISLNK(mode):
                raise OSError(errno.ELOOP, "a link")
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise InvalidInput(f"{_named(parts)} is not a regular file")
        return stat.S_ISDIR(mode)

    def read(self, parts: Parts) -> str:
        """Give a file's text, line ends as they are."""
        if not parts:
            raise InvalidInput("the work tree itself is a folder; use list")
        with self.folder(parts[:-1]) as parent, _explained(parts, parent):
            descriptor = os.open(parts[-1], FILE, dir_fd=parent)
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                raise InvalidInput(f"{_named(parts)} is a folder; use list")
            if not stat.S_ISREG(mode):
                raise InvalidInput(f"{_named(parts)} is not a regular file")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(limits.EDIT_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
        if len(content) > limits.EDIT_FILE_BYTES:
            raise InvalidInput(
                f"{_named(parts)} has more than {limits.EDIT_FILE_BYTES} bytes; use search"
            )
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{_named(parts)} is not UTF-8 text ({error.reason})") from error

    def write(self, parts: Parts, text: str) -> int:
        """Put a whole file in place at once, keeping its mode; gives its size in bytes."""
        content = text.encode()
        if not parts:
            raise InvalidInput("the work tree itself is a folder; name a file")
        if len(content) > limits.EDIT_FILE_BYTES:
            raise InvalidInput(
                f"{len(content)} bytes for {_named(parts)}; at most {limits.EDIT_FILE_BYTES}"
            )
        with self.folder(parts[:-1], create=True) as parent, _explained(parts, parent):
            mode = _mode(parts, parent)
            passing = f".new-{secrets.token_hex(8)}"
            descriptor = os.open(passing, NEW_FILE, mode, dir_fd=parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    os.fchmod(descriptor, mode)
                os.replace(  # noqa: PTH105 - needs dir_fd
                    passing, parts[-1], src_dir_fd=parent, dst_dir_fd=parent
                )
            except OSError:
                os.unlink(passing, dir_fd=parent)  # noqa: PTH108 - needs dir_fd
                raise
        return len(content)


def _mode(parts: Parts, parent: int) -> int:
    """Give the permissions that a written file gets; refuses to replace what is no file."""
    try:
        facts = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)  # noqa: PTH116
    except FileNotFoundError:
        return PLAIN_MODE
    if stat.S_ISLNK(facts.st_mode):
        raise OSError(errno.ELOOP, "a link")
    if not stat.S_ISREG(facts.st_mode):
        raise InvalidInput(f"{_named(parts)} is not a regular file")
    return stat.S_IMODE(facts.st_mode) & 0o777


@contextmanager
def _explained(parts: Parts, parent: int) -> Iterator[None]:
    """Turn the kernel's refusal into a message that says what to do."""
    try:
        yield
    except OSError as error:
        name = _named(parts)
        with suppress(OSError):
            target = os.readlink(parts[-1], dir_fd=parent)  # noqa: PTH115 - needs dir_fd
            raise InvalidInput(
                f"{name} is a link to {target[:200]!r}; links are not followed, name the target"
            ) from error
        if isinstance(error, FileNotFoundError):
            raise Missing(f"{name} does not exist; use list to see what does") from error
        raise InvalidInput(f"{name}: {error.strerror}") from error


def _named(parts: Parts) -> str:
    """Write a path for a message."""
    return "/".join(parts) or "."
