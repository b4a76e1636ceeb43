"""The program behind the search tool. It is run inside the sandbox, never imported by the loop.

A regular expression can take for ever, and Python holds its interpreter lock meanwhile: in the
daemon that would stop the heartbeat. In a process of its own it runs into a time limit.
Called with one JSON argument {pattern, path, glob, hits, line_chars, file_bytes}.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from fnmatch import fnmatch

PASSED_OVER = frozenset(
    {".git", ".venv", "node_modules", "__pycache__", ".tox", ".mypy_cache", ".ruff_cache"}
    | {".pytest_cache", ".hypothesis"}
)
SNIFFED_BYTES = 4_096


def main(argument: str) -> None:
    """Write the hits as path:line: text, and a last line that says how it went."""
    asked = json.loads(argument)
    pattern, note = _pattern(asked["pattern"])
    found = 0
    for path in _files(asked["path"], asked["glob"]):
        for number, line in enumerate(_lines(path, asked["file_bytes"]), 1):
            if pattern.search(line) is None:
                continue
            if found == asked["hits"]:
                sys.stdout.write(f"[more than {found} hits; narrow the pattern, path or glob]\n")
                return
            found += 1
            name = os.path.relpath(path)
            sys.stdout.write(f"{name}:{number}: {line.strip()[: asked['line_chars']]}\n")
            sys.stdout.flush()
    sys.stdout.write(f"[{found} hits{note}]\n")


def _pattern(text: str) -> tuple[re.Pattern[str], str]:
    """Compile a regular expression; a broken one is meant literally."""
    try:
        return re.compile(text), ""
    except (re.error, OverflowError, RecursionError) as error:
        return re.compile(re.escape(text)), f"; taken literally, as a pattern it is wrong: {error}"


def _files(start: str, glob: str) -> Iterator[str]:
    """Yield the files below a path in order; links are not followed."""
    if os.path.isfile(start):  # noqa: PTH113 - a script of the sandbox, quick to start
        yield start
        return
    for folder, folders, names in os.walk(start):
        folders[:] = sorted(name for name in folders if name not in PASSED_OVER)
        for name in sorted(names):
            path = os.path.join(folder, name)  # noqa: PTH118
            if name.isprintable() and (fnmatch(name, glob) or fnmatch(os.path.relpath(path), glob)):
                yield path


def _lines(path: str, most_bytes: int) -> list[str]:
    """Give the lines of a text file; nothing for a link, a device, or what is no text."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return []
            content = file.read(most_bytes)
    except OSError:
        return []
    if b"\0" in content[:SNIFFED_BYTES]:
        return []
    return content.decode(errors="replace").split("\n")


if __name__ == "__main__":
    main(sys.argv[1])
