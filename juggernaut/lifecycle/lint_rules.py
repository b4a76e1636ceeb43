"""Which linter rules a repository has: read from its files, never by running anything."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from juggernaut.domain.limits import LINT_CONFIG_BYTES
from juggernaut.domain.pulls import Change
from juggernaut.domain.quality import LINTER_FILES
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.ports import Workspace

# Other linters by the file, and by the words in it that configure them.
_OTHERS: Final[tuple[tuple[str, str, str], ...]] = (
    (".flake8", "", "flake8"),
    ("setup.cfg", "[flake8]", "flake8"),
    ("tox.ini", "[flake8]", "flake8"),
    (".pylintrc", "", "pylint"),
    ("pylintrc", "", "pylint"),
    ("pyproject.toml", "[tool.pylint", "pylint"),
)


@contextlib.asynccontextmanager
async def rules_tree(attempt: Attempt, workspace: Workspace, change: Change) -> AsyncIterator[Path]:
    """Give the tree whose configuration counts: the base's, if the change touches one.

    A change cannot switch off the linter that it is judged by.
    """
    if not any(PurePosixPath(path).name in LINTER_FILES for path in change.files):
        yield workspace.path
        return
    base = await attempt.services.workspaces.checkout(attempt.repo, change.base, attempt.name)
    try:
        yield base.path
    finally:
        await base.close()


def by_config(root: Path, files: Sequence[str]) -> dict[PurePosixPath | None, list[str]]:
    """Group files by the nearest configuration that lies in the tree; None: there is none."""
    known: dict[PurePosixPath, PurePosixPath | None] = {}
    groups: dict[PurePosixPath | None, list[str]] = {}
    for path in files:
        nearest = None
        for folder in PurePosixPath(path).parents:
            if folder not in known:
                known[folder] = _config_in(root, folder)
            nearest = known[folder]
            if nearest is not None:
                break
        groups.setdefault(nearest, []).append(path)
    return groups


def _config_in(root: Path, folder: PurePosixPath) -> PurePosixPath | None:
    """Give the ruff configuration of a folder, if it has one."""
    for name in LINTER_FILES:
        text = read_small(root / folder / name)
        if text is not None and (name != "pyproject.toml" or _names_ruff(text)):
            return folder / name
    return None


def _names_ruff(text: str) -> bool:
    """Say whether a pyproject.toml configures ruff; one that cannot be read may do so."""
    try:
        tool = tomllib.loads(text).get("tool")
    except tomllib.TOMLDecodeError:
        return "tool.ruff" in text
    return isinstance(tool, dict) and "ruff" in tool


def other_linter(root: Path) -> str | None:
    """Name a linter that the repository configures and that is not ruff."""
    for file, words, name in _OTHERS:
        text = read_small(root / file)
        if text is not None and words in text:
            return name
    return None


def read_small(path: Path) -> str | None:
    """Read a small regular file of the tree; None for anything else."""
    if not is_file(path):
        return None
    with path.open("rb") as file:
        return file.read(LINT_CONFIG_BYTES).decode("utf-8", "replace")


def is_file(path: Path) -> bool:
    """Say whether a path is a regular file and no link."""
    return path.is_file() and not path.is_symlink()
