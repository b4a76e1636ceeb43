"""Trial: where a change touched what judges it, the tests of the base judge its sources too.

Lines that a change adds can weaken a test as well as lines that it removes: a skip at the top of
a module, a patch in conftest.py, an option in pytest.ini. So the base's files that judge are put
over a fresh checkout of the change, and everything runs once more. What does not pass there is a
doubt: a person decides, because the task may have asked for exactly that.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from juggernaut.domain.counts import harness_of
from juggernaut.domain.judging import fallen, files_of_tests, is_settings, judges, judging_part
from juggernaut.domain.limits import EDIT_FILE_BYTES, TITLE_CHARS
from juggernaut.domain.model import Sha
from juggernaut.domain.redact import shorten
from juggernaut.domain.reports import Report
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.gather import checkout
from juggernaut.lifecycle.harness import TestRun

Argv = tuple[str, ...]
Judges = Mapping[str, str]
SHOWN_TESTS: Final = 10


@dataclass(frozen=True, slots=True)
class Touched:
    """What a change touched of the files that judge: `changed`, and `new` files with tests."""

    changed: frozenset[str]
    new: frozenset[str]

    def for_harness(self, known: bool) -> frozenset[str]:
        """Give what is put back. Of a harness without a report, new tests may be its check."""
        if known:
            return self.changed | self.new
        return self.changed - self.new


def judges_of(root: Path, known: Iterable[str] = ()) -> dict[str, str]:
    """Give each file of a tree that judges, with the digest of the part that does.

    `known` are files that hold tests whatever their name is.
    """
    found: dict[str, str] = {}
    for path in {*_paths(root), *known}:
        digest = _digest(root / path, path)
        if digest is not None:
            found[path] = digest
    return found


def touched(before: Judges, now: Judges, base: Iterable[Report], head: Iterable[Report]) -> Touched:
    """Compare the files that judge, and find the tests that stand in files of their own."""
    both = {*before, *now}
    changed = frozenset(path for path in both if before.get(path) != now.get(path))
    old = {path for report in base for path in files_of_tests(report)}
    held = {path for report in head for path in files_of_tests(report)} - old - {*before}
    fresh = {path for path in changed if path not in before and not is_settings(path)}
    return Touched(changed, frozenset(held | fresh))


async def hold_trial(
    attempt: Attempt,
    sha: Sha,
    base: Sha,
    found: Touched,
    wanted: Collection[Argv],
    before: Mapping[Argv, Report],
) -> dict[Argv, str]:
    """Let the tests of the base judge the sources at `sha`; gives the doubts, by command."""
    known = [argv for argv in wanted if argv in before and before[argv].tests]
    plain = [argv for argv in wanted if harness_of(argv) is None]
    doubts: dict[Argv, str] = {}
    for group, paths in ((known, found.for_harness(True)), (plain, found.for_harness(False))):
        if not group or not paths:
            continue
        async with checkout(attempt, base) as old, checkout(attempt, sha) as tree:
            await asyncio.to_thread(put_back, old.path, tree.path, paths)
            for argv in group:
                doubt = _doubt(argv, await tree.test(argv), before.get(argv))
                if doubt is not None:
                    doubts[argv] = doubt
    return doubts


def _doubt(argv: Argv, run: TestRun, before: Report | None) -> str | None:
    """Say what the tests of the base have against a change, if anything."""
    words = shorten(" ".join(argv), TITLE_CHARS)
    if before is None:
        good = run.result.exit_code == 0 and not run.result.timed_out
        return None if good else f"with the tests of the base it ends badly: {words}"
    if run.report is None or run.counts.problem:
        why = run.counts.problem or "no report"
        return f"with the tests of the base the run proves nothing ({why}): {words}"
    lost = fallen(before, run.report)
    if not lost:
        return None
    names = ", ".join(lost[:SHOWN_TESTS])
    return f"{len(lost)} tests of the base do not pass on its sources: {names}"


def put_back(old: Path, tree: Path, paths: Iterable[str]) -> None:
    """Give files of a tree the form that they have in another one, or take them away."""
    wanted = sorted(paths)
    for path in wanted:
        _clear(tree, path)
    for path in wanted:
        source, place = old / path, tree / path
        if source.is_symlink() or source.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place, follow_symlinks=False)


def _clear(tree: Path, path: str) -> None:
    """Take away what stands at a path, and every link or file where it needs a folder."""
    for part in (*reversed(PurePosixPath(path).parents), PurePosixPath(path)):
        place = tree / part
        if place.is_symlink() or place.is_file():
            place.unlink()
    if (tree / path).is_dir():
        shutil.rmtree(tree / path)


def _paths(root: Path) -> Iterator[str]:
    """Yield the paths of files and links that judge by their name; links are not followed."""
    for folder, folders, names in os.walk(root, followlinks=False):
        here = Path(folder)
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = [name for name in folders if name != ".git"]
        for name in (*names, *links):
            path = (here / name).relative_to(root).as_posix()
            if judges(path):
                yield path


def _digest(place: Path, path: str) -> str | None:
    """Give the digest of what judges in a file or link; None when nothing there does."""
    if place.is_symlink():
        return f"link to {place.readlink()}"
    if not place.is_file():
        return None
    if place.stat().st_size > EDIT_FILE_BYTES:
        with place.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    part = judging_part(path, place.read_bytes())
    return None if part is None else hashlib.sha256(part).hexdigest()
