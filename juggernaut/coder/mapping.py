"""The program behind the map of a repository. It is run inside the sandbox, never by the loop.

Parsing Python that a stranger wrote can take for ever, or crash the interpreter. Called with one
JSON argument {words, bytes, files, parsed, parsed_bytes, passed_over}; writes the map, which never
has more than so many bytes.
"""

from __future__ import annotations

import ast
import json
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator

SPLIT = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
COMMON = 20  # a word in the paths of more files than this says little about any of them
COMMON_PART = 50
NAMED = 100.0
SHOWN_NAME = 100
SHOWN_DEFINITIONS = 240
HITS_PART = 0.6
DEEPEST = 6
KIB = 1024
MIB = KIB * KIB

Files = dict[str, int]


def main(argument: str) -> None:
    """Write the map."""
    asked = json.loads(argument)
    files, complete = _walk(asked["files"], frozenset(asked["passed_over"]))
    head = f"{len(files)}{'' if complete else ' and more'} files, {_size(sum(files.values()))}."
    room = asked["bytes"] - len(head) - 1
    ranked = _ranked(files, asked["words"])
    lines = _whole(files, ranked, room, asked) or _outline(files, ranked, room, asked)
    sys.stdout.write("\n".join([head, *lines]))


def _walk(most: int, passed_over: frozenset[str]) -> tuple[Files, bool]:
    """Find the regular files below this folder with their sizes; False when there are more."""
    files: Files = {}
    for folder, folders, names in os.walk("."):
        folders[:] = sorted(name for name in folders if name not in passed_over)
        for name in sorted(names):
            path = os.path.join(folder, name)  # noqa: PTH118 - a script of the sandbox
            try:
                facts = os.lstat(path)
            except OSError:
                continue
            if name in passed_over or not stat.S_ISREG(facts.st_mode):
                continue
            if len(files) == most:
                return files, False
            files[path[2:]] = facts.st_size
    return files, True


def _ranked(files: Files, words: list[str]) -> list[tuple[float, str]]:
    """Score each file by what of its path the task says: rare words count most."""
    said = set(words)
    parts = {path: {part.lower() for part in SPLIT.findall(path)} & said for path in files}
    spread = Counter(part for found in parts.values() for part in found)
    common = max(COMMON, len(files) // COMMON_PART)
    scored = []
    for path, found in parts.items():
        score = sum(1 / spread[part] for part in found if spread[part] <= common)
        named = path in said or path.rsplit("/", 1)[-1] in said
        scored.append((score + NAMED * named, path))
    return sorted(scored, key=lambda one: (-one[0], one[1].count("/"), one[1]))


def _whole(
    files: Files, ranked: list[tuple[float, str]], room: int, asked: dict[str, int]
) -> list[str]:
    """Give every file by folder, with definitions for as many as fit; empty if it is too much."""
    room -= sum(_cost(f"  {_name(path)} {_size(size)}") for path, size in files.items())
    room -= sum(
        _cost(f"{_name(folder)}/") for folder in {path.rpartition("/")[0] for path in files}
    )
    if room < 0:
        return []
    told: dict[str, str] = {}
    for path, text in _definitions([path for _, path in ranked], asked):
        if len(text.encode()) + 2 <= room:
            told[path] = text
            room -= len(text.encode()) + 2
    lines: list[str] = []
    last = None
    for path in sorted(files, key=lambda path: path.rpartition("/")):
        folder, _, name = path.rpartition("/")
        if folder != last:
            lines.append(f"{_name(folder) or '.'}/")
            last = folder
        lines.append(f"  {_name(name)} {_size(files[path])}{_after(told.get(path))}")
    return lines


def _outline(
    files: Files, ranked: list[tuple[float, str]], room: int, asked: dict[str, int]
) -> list[str]:
    """Give the files that the task speaks of, then folders with the number of files below."""
    hits = [path for score, path in ranked if score > 0]
    told = dict(_definitions(hits, asked))
    shown = [f"  {_name(path)} {_size(files[path])}{_after(told.get(path))}" for path in hits]
    lines = ["Files that the task may be about:"]
    lines += _fitting(shown, int(room * HITS_PART) - _cost(lines[0]))
    if len(lines) == 1:
        lines = []
    title = "Folders, with the number of files below:"
    room -= sum(map(_cost, lines)) + _cost(title)
    return [*lines, title, *_folders(files, hits, room)]


def _folders(files: Files, hits: list[str], room: int) -> list[str]:
    """Give the folders as deep as there is room for, and the names in some of them."""
    inside: dict[str, list[str]] = {}
    for path in sorted(files):
        folder, _, name = path.rpartition("/")
        inside.setdefault(folder, []).append(_name(name))
    for depth in range(DEEPEST, 0, -1):
        counts: Counter[str] = Counter()
        for folder, names in inside.items():
            counts["/".join(folder.split("/")[:depth])] += len(names)
        told = {folder: f"  {_name(folder) or '.'}/ {counts[folder]}" for folder in sorted(counts)}
        left = room - sum(map(_cost, told.values()))
        if left >= 0:
            break
    else:
        return _fitting(list(told.values()), room)
    near = {path.rpartition("/")[0]: None for path in hits}
    for folder in [*near, *told]:
        text = f": {', '.join(inside.get(folder, ()))}"
        whole = counts[folder] == len(inside.get(folder, ()))
        if whole and len(text.encode()) <= left and ": " not in told[folder]:
            told[folder] += text
            left -= len(text.encode())
    return list(told.values())


def _fitting(lines: list[str], room: int) -> list[str]:
    """Give as many of the first lines as there is room for, and how many are missing."""
    note = f"  [{len(lines)} more]"
    kept: list[str] = []
    for line in lines:
        room -= _cost(line)
        if room < (0 if len(kept) + 1 == len(lines) else _cost(note)):
            return [*kept, f"  [{len(lines) - len(kept)} more]"]
        kept.append(line)
    return kept


def _definitions(paths: Iterable[str], asked: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Yield the classes and functions at the top of the first so many Python files."""
    left = asked["parsed"]
    for path in paths:
        if not path.endswith(".py"):
            continue
        left -= 1
        if left < 0:
            return
        names = _parsed(path, asked["parsed_bytes"])
        if names:
            text = ", ".join(names)
            cut = len(text) > SHOWN_DEFINITIONS
            yield path, f"{text[:SHOWN_DEFINITIONS]}..." if cut else text


def _parsed(path: str, most_bytes: int) -> list[str]:
    """Give the classes and functions at the top of one file; none of what is no Python."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            tree = ast.parse(file.read(most_bytes))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [node.name for node in tree.body if isinstance(node, kinds)]


def _name(path: str) -> str:
    """Give a path as it may be shown: without control characters, and not endless."""
    shown = path if path.isprintable() else ascii(path)
    return shown if len(shown) <= SHOWN_NAME else f"{shown[:SHOWN_NAME]}..."


def _size(count: int) -> str:
    """Give a number of bytes in short."""
    if count < KIB:
        return f"{count}b"
    return f"{count // KIB}k" if count < MIB else f"{count // MIB}m"


def _after(text: str | None) -> str:
    """Put definitions behind a file's size."""
    return f": {text}" if text else ""


def _cost(line: str) -> int:
    """Count the bytes of a line."""
    return len(line.encode()) + 1


if __name__ == "__main__":
    main(sys.argv[1])
