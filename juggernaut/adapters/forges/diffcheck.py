"""What a change may hold: judged from git's own record of it, never from the agent's word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.limits import DIFF_FILES, EDIT_FILE_BYTES, TREE_BYTES, TREE_FILES

GITLINK: Final = "160000"
SYMLINK: Final = "120000"
GONE: Final = "000000"

# Names that some file system takes for `.git`: NTFS short names, streams, trailing dots and
# blanks, and the code points that HFS+ ignores.
GIT_TWIN: Final = re.compile(r"(?:\.git|git~\d+)[. ]*(?::.*)?")
MODULES_TWIN: Final = re.compile(r"(?:\.gitmodules|gitmod~\d+)[. ]*(?::.*)?")
IGNORED_BY_HFS: Final = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
# What a browser shows and nothing runs by its name; svg is text.
PICTURE: Final = re.compile(r".+\.(?:png|jpe?g|gif|webp|avif|bmp|ico|tiff?)", re.IGNORECASE)
PLAIN_FILE: Final = "100644"
UNREADABLE: Final = re.compile("[\0\udc80-\udcff]")
TEXT_SHARE: Final = 10  # in text, at most one sign of so many is no letter
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
SHOWN_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """One changed path as `git diff-tree --raw` has it."""

    path: str
    old_mode: str
    new_mode: str
    blob: str


def parse_raw(raw: bytes) -> tuple[Entry, ...]:
    """Read the output of `git diff-tree -r --raw -z --no-renames`."""
    fields = raw.split(b"\0")[:-1]
    entries = []
    for meta, name in zip(fields[::2], fields[1::2], strict=True):
        old_mode, new_mode, _, blob, _ = meta.decode("ascii").removeprefix(":").split(" ")
        entries.append(Entry(readable(name), old_mode, new_mode, blob))
    return tuple(entries)


def readable(name: bytes) -> str:
    """Decode a path; refuses one that is not UTF-8, because nothing could show or store it."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(f"path {name[:SHOWN_CHARS]!r} is not UTF-8: rename the file") from None


def check_count(count: int) -> None:
    """Refuse a change of more files than a person can review."""
    if count > DIFF_FILES:
        raise InvalidInput(
            f"the change touches {count} files (at most {DIFF_FILES}):"
            " split the task, or list build results in .gitignore"
        )


def check_tree(files: int, size: int) -> None:
    """Refuse a commit whose files would fill the disk: one attempt has several trees."""
    if files > TREE_FILES or size > TREE_BYTES:
        raise InvalidInput(
            f"the commit has {files} files and {size} bytes (at most {TREE_FILES} files and"
            f" {TREE_BYTES} bytes): keep large files out of the repository"
        )


def check_path(path: str) -> None:
    """Refuse a path that git, or some file system, would take for git's own."""
    if CONTROL.search(path):
        raise InvalidInput(f"path {path[:SHOWN_CHARS]!r} has control characters: rename the file")
    for part in path.replace("\\", "/").split("/"):
        plain = IGNORED_BY_HFS.sub("", unicodedata.normalize("NFKC", part)).casefold()
        if GIT_TWIN.fullmatch(plain) or part in {"..", "."}:
            raise InvalidInput(f"path {path[:SHOWN_CHARS]} is git's own: a change may not hold it")
        if MODULES_TWIN.fullmatch(plain):
            raise InvalidInput(f"path {path[:SHOWN_CHARS]} names submodules: not allowed")


def check_entry(entry: Entry) -> None:
    """Refuse a bad path or a submodule, added or removed."""
    check_path(entry.path)
    if GITLINK in {entry.old_mode, entry.new_mode}:
        raise InvalidInput(
            f"path {entry.path[:SHOWN_CHARS]} is a submodule or a repository of its own:"
            " a change may not hold it"
        )


def check_size(path: str, size: int) -> None:
    """Refuse a file that is too big to review."""
    if size > EDIT_FILE_BYTES:
        raise InvalidInput(
            f"file {path[:SHOWN_CHARS]} has {size} bytes (at most {EDIT_FILE_BYTES}):"
            " leave it out of the change"
        )


def check_link(path: str, target: str) -> None:
    """Refuse a symbolic link that leaves the tree or enters git's own folder.

    Dots upward are allowed only at the start: after a name that is itself a link, `..` would
    mean another folder than it seems to.
    """
    parts = [part for part in target.split("/") if part not in {"", "."}]
    rises = 0
    while rises < len(parts) and parts[rises] == "..":
        rises += 1
    leaves = target.startswith("/") or rises > path.count("/") or ".." in parts[rises:]
    if leaves or not target:
        raise InvalidInput(
            f"link {path[:SHOWN_CHARS]} -> {target[:SHOWN_CHARS]!r} leaves the work tree:"
            " link to a file inside it"
        )
    check_path("/".join(parts[rises:]))


def links_of(entries: Collection[Entry]) -> tuple[Entry, ...]:
    """Give the entries that are symbolic links after the change."""
    return tuple(entry for entry in entries if entry.new_mode == SYMLINK)


def files_of(entries: Collection[Entry]) -> tuple[Entry, ...]:
    """Give the entries that are there after the change."""
    return tuple(entry for entry in entries if entry.new_mode != GONE)


def pictures_of(entries: Collection[Entry]) -> frozenset[str]:
    """Name what is a picture by its name, and can never be run."""
    return frozenset(
        entry.path
        for entry in entries
        if PICTURE.fullmatch(entry.path) and {entry.old_mode, entry.new_mode} <= {PLAIN_FILE, GONE}
    )


def is_mostly_text(raw: bytes) -> bool:
    """Say whether people can read it, but for some bytes."""
    text = raw.decode("utf-8", "surrogateescape")
    return len(UNREADABLE.findall(text)) * TEXT_SHARE <= len(text)


def readable_text(raw: bytes) -> str:
    r"""Decode a text with NULs and bytes that are no UTF-8, each written out: none is lost.

    >>> readable_text(b"a\0\xe9")
    'a<0x00><0xE9>'
    """
    text = raw.decode("utf-8", "surrogateescape")
    return UNREADABLE.sub(lambda sign: f"<0x{ord(sign[0]) & 0xFF:02X}>", text)
