"""The tools that look: list, search and read."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from pathlib import Path
from typing import Final

from juggernaut.coder import bounds, grep
from juggernaut.coder.paths import Parts, WorkTree, is_git
from juggernaut.coder.seen import Seen
from juggernaut.domain import limits
from juggernaut.domain.errors import InvalidInput
from juggernaut.ports import Sandbox

COMMAND_TIMED_OUT: Final = "[stopped: the search took too long; use a simpler pattern or a path]"


def list_folder(tree: WorkTree, parts: Parts, depth: int) -> str:
    """Give the entries below a folder, folders with a slash, files with their size in bytes."""
    found: list[str] = []
    with tree.folder(parts) as descriptor:
        complete = _list_into(found, descriptor, "/".join(parts), depth)
    if not complete:
        found.append(f"[more than {limits.LIST_ENTRIES} entries; list a folder below]")
    return "\n".join(found) or "[empty]"


def _list_into(found: list[str], folder: int, prefix: str, depth: int) -> bool:
    """Append the entries of an open folder, depth first; False when there are too many."""
    with os.scandir(folder) as entries:
        known = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in known:
        if is_git(name):
            continue
        if len(found) >= limits.LIST_ENTRIES:
            return False
        path = f"{prefix}/{name}" if prefix else name
        if not is_folder:
            found.append(_described(folder, name, path))
            continue
        found.append(f"{bounds.clean(path)}/")
        if (
            depth > 1
            and name not in grep.PASSED_OVER
            and not _list_below(found, folder, name, path, depth - 1)
        ):
            return False
    return True


def _list_below(found: list[str], folder: int, name: str, path: str, depth: int) -> bool:
    """Append the entries of a subfolder, unless it has become something else meanwhile."""
    try:
        below = os.open(
            name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder
        )
    except OSError as error:
        found[-1] += f"  [{error.strerror}]"
        return True
    try:
        return _list_into(found, below, path, depth)
    finally:
        os.close(below)


def _described(folder: int, name: str, path: str) -> str:
    """Write one entry that is not a folder."""
    shown = bounds.line(bounds.clean(path))
    try:
        facts = os.stat(name, dir_fd=folder, follow_symlinks=False)  # noqa: PTH116
    except OSError as error:
        return f"{shown}  [{error.strerror}]"
    if stat.S_ISREG(facts.st_mode):
        return f"{shown}  {facts.st_size}"
    return f"{shown}  [{'link, not followed' if stat.S_ISLNK(facts.st_mode) else 'special file'}]"


def read_lines(tree: WorkTree, seen: Seen, parts: Parts, start: int, count: int) -> str:
    """Give numbered lines of a file, and where to read on."""
    text = tree.read(parts)
    lines = bounds.clean(text).split("\n")
    if lines[-1] == "":
        lines.pop()
    if start > max(1, len(lines)):
        raise InvalidInput(f"{'/'.join(parts)} has {len(lines)} lines; start={start} is past them")
    seen.note(parts, text)
    shown: list[str] = []
    room = limits.TOOL_OUTPUT_CHARS
    for number, text in enumerate(lines[start - 1 : start - 1 + count], start):
        numbered = f"{number}\t{bounds.line(text)}"
        room -= len(numbered) + 1
        if room < 0:
            break
        shown.append(numbered)
    last = start + len(shown) - 1
    if last < len(lines):
        shown.append(f"[lines {start} to {last} of {len(lines)}; read on with start={last + 1}]")
    return "\n".join(shown) or "[empty file]"


async def search(tree: WorkTree, sandbox: Sandbox, pattern: str, parts: Parts, glob: str) -> str:
    """Give the lines that match, from a process of the sandbox with a time limit."""
    await asyncio.to_thread(tree.is_folder, parts)
    asked = {
        "pattern": pattern,
        "path": "/".join(parts) or ".",
        "glob": glob,
        "hits": limits.SEARCH_HITS,
        "line_chars": limits.TOOL_LINE_CHARS,
        "file_bytes": limits.EDIT_FILE_BYTES,
    }
    program = await asyncio.to_thread(Path(grep.__file__).read_text)
    result = await sandbox.run(
        [sys.executable, "-I", "-S", "-c", program, json.dumps(asked)],
        tree.root,
        timeout_seconds=limits.SEARCH_SECONDS,
    )
    text = bounds.whole(bounds.clean(result.output))
    if result.timed_out:
        return f"{text}{COMMAND_TIMED_OUT}"
    if result.exit_code != 0:
        raise InvalidInput(f"the search failed with exit code {result.exit_code}: {text[-500:]}")
    return text
