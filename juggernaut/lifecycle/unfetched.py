"""What a work tree does not hold: submodules and the files that Git LFS keeps elsewhere.

Neither is fetched: both would let a repository name places from which this machine loads things.
The agent, the tests and the reader are told, so that nobody takes a pointer for a file.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from juggernaut.domain.limits import TITLE_CHARS
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.lint_rules import read_small

SAYING: Final = (".gitmodules", ".gitattributes")
_MODULE_PATH: Final = re.compile(r"^\s*path\s*=\s*(.+?)\s*$", re.MULTILINE)
_LFS_PATTERN: Final = re.compile(r"^\s*([^#\s]\S*)\s.*\bfilter=lfs\b", re.MULTILINE)
_SHOWN: Final = 10


async def say_unfetched(attempt: Attempt, tree: Path) -> tuple[str, ...]:
    """Log what a tree lacks, and give it for the evidence; empty for most repositories."""
    found = await asyncio.to_thread(unfetched, tree)
    for line in found:
        await attempt.log("not_fetched", line, level="warning")
    return tuple(attempt.scrub(line, TITLE_CHARS) for line in found)


def unfetched(tree: Path) -> tuple[str, ...]:
    """Name the submodules and LFS patterns of a tree, as its own files have them."""
    return unfetched_of(*(read_small(tree / name) or "" for name in SAYING))


def unfetched_of(modules_file: str, attributes_file: str) -> tuple[str, ...]:
    """Name what the two files say that is not fetched."""
    modules = _MODULE_PATH.findall(modules_file)
    patterns = _LFS_PATTERN.findall(attributes_file)
    found = []
    if modules:
        found.append(f"submodules are not fetched, their folders are empty: {_some(modules)}")
    if patterns:
        found.append(f"Git LFS files are not fetched, only their pointers: {_some(patterns)}")
    return tuple(found)


def _some(names: list[str]) -> str:
    """List the first names."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
