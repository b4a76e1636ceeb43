"""Gather: a fresh checkout of a commit, to be listed, searched and used to run commands.

Nothing is followed that leads out of the tree: links are skipped, sizes are bounded.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from juggernaut.domain.exchange import CommandResult
from juggernaut.domain.limits import (
    COMMAND_SECONDS,
    LIST_ENTRIES,
    SEARCHED_FILE_BYTES,
    SEARCHED_FILES,
    SOURCE_LINES,
    SOURCES,
)
from juggernaut.domain.model import Sha
from juggernaut.domain.reports import Report
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.harness import TestRun, list_tests, run_tests
from juggernaut.lifecycle.reach import sandbox_of
from juggernaut.ports import Workspace

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{3,}")
# Words that every text holds say nothing about a question.
_EMPTY_WORDS = frozenset({"about", "after", "also", "been", "before", "could", "does", "each"}) | {
    *("find", "from", "have", "into", "only", "over", "should", "some", "such", "task", "than"),
    *("that", "their", "them", "then", "there", "these", "they", "this", "what", "when", "where"),
    *("which", "will", "with", "would", "your", "self", "none", "return", "import"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """A place in a repository that speaks of a question."""

    id: str
    path: str
    line: int
    sha: Sha
    excerpt: str

    def facts(self) -> dict[str, object]:
        """Give the source as evidence names it."""
        return {"id": self.id, "path": self.path, "line": self.line, "sha": self.sha}


class Tree:
    """A checkout while it is open."""

    def __init__(self, attempt: Attempt, workspace: Workspace) -> None:
        """Wrap a work tree."""
        self._attempt = attempt
        self._workspace = workspace

    @property
    def sha(self) -> Sha:
        """Give the commit that is checked out."""
        return self._workspace.base

    @property
    def path(self) -> Path:
        """Give the folder of the tree."""
        return self._workspace.path

    async def run(self, argv: Sequence[str]) -> CommandResult:
        """Run a command in the tree, in the sandbox."""
        sandbox = await sandbox_of(self._attempt)
        return await sandbox.run(argv, self._workspace.path, timeout_seconds=COMMAND_SECONDS)

    async def test(self, argv: Sequence[str]) -> TestRun:
        """Run a command in the tree and count its tests."""
        return await run_tests(await sandbox_of(self._attempt), self._workspace.path, argv)

    async def list_tests(self, argv: Sequence[str]) -> Report | None:
        """Collect the tests of a command without running them; None when it has no report."""
        return await list_tests(await sandbox_of(self._attempt), self._workspace.path, argv)

    async def digests(self, paths: Iterable[str]) -> dict[str, str | None]:
        """Give the digest of each file, None for what is not there."""
        root = self._workspace.path
        return await asyncio.to_thread(lambda: {path: _digest(root, path) for path in paths})

    async def files(self) -> tuple[str, ...]:
        """List the files of the tree, at most limits.LIST_ENTRIES."""
        paths = await asyncio.to_thread(lambda: list(_walk(self._workspace.path)))
        return tuple(sorted(paths)[:LIST_ENTRIES])

    async def search(self, question: str) -> tuple[Source, ...]:
        """Find the places that share the most words with a question, the best first."""
        return await asyncio.to_thread(_search, self._workspace.path, question, self.sha)


@asynccontextmanager
async def checkout(attempt: Attempt, sha: Sha | None = None) -> AsyncIterator[Tree]:
    """Open a fresh checkout (None: the head of the default branch), and remove it after."""
    workspace = await attempt.services.workspaces.checkout(attempt.repo, sha, attempt.name)
    try:
        yield Tree(attempt, workspace)
    finally:
        await workspace.close()


def _digest(root: Path, path: str) -> str | None:
    """Give the digest of a plain file in the tree; a link, or a path out of it, is not one."""
    place = root / path
    inside = place.resolve().is_relative_to(root.resolve())
    if not inside or place.is_symlink() or not place.is_file():
        return None
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def words_of(text: str) -> frozenset[str]:
    """Give the words of a text that can be searched for."""
    return frozenset(word.casefold() for word in _WORD.findall(text)) - _EMPTY_WORDS


def _walk(root: Path) -> Iterator[str]:
    """Yield the paths of regular files below a folder, links and git's own apart."""
    found = 0
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_symlink() or not path.is_file():
                continue
            yield path.relative_to(root).as_posix()
            found += 1
            if found >= SEARCHED_FILES:
                return


def _search(root: Path, question: str, sha: Sha) -> tuple[Source, ...]:
    """Score each file by how many of the words it holds, its path counting double."""
    words = words_of(question)
    scored: list[tuple[int, str, int, str]] = []
    for path in _walk(root):
        lines = _lines(root / path)
        if lines is None:
            continue
        hits = [len(words & words_of(line)) for line in lines]
        score = len({w for line in lines for w in words & words_of(line)})
        score += 2 * len(words & words_of(path.replace("/", " ")))
        if score:
            best = hits.index(max(hits)) if hits else 0
            start = max(best - SOURCE_LINES // 3, 0)
            excerpt = "\n".join(lines[start : start + SOURCE_LINES])
            scored.append((score, path, start + 1, excerpt))
    scored.sort(key=lambda item: (-item[0], item[1]))
    return tuple(
        Source(f"s{number}", path, line, sha, excerpt)
        for number, (_, path, line, excerpt) in enumerate(scored[:SOURCES], start=1)
    )


def _lines(path: Path) -> list[str] | None:
    """Read a text file; None for what is too large, binary or unreadable."""
    try:
        if path.stat().st_size > SEARCHED_FILE_BYTES:
            return None
        raw = path.read_bytes()
    except OSError:
        return None
    return None if b"\0" in raw else raw.decode("utf-8", "replace").splitlines()
