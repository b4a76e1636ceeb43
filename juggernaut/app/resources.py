"""Finds what is shipped beside the code: migrations, config and roles.

A wheel carries them inside the package, a checkout has them beside it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from juggernaut.domain import limits
from juggernaut.domain.errors import ConfigError

PACKAGE: Final = Path(__file__).resolve().parent.parent
PARTS: Final = ("migrations", "config", "roles")
ROLE_FILE: Final = re.compile(r"[a-z][a-z0-9_]*\.py")


@dataclass(frozen=True, slots=True)
class Resources:
    """Where the shipped folders are."""

    migrations: Path
    config: Path
    roles: Path


def find_resources(package: Path = PACKAGE) -> Resources:
    """Give the shipped folders; ConfigError when the installation is incomplete."""
    tried = (package / "_shipped", package.parent)
    for place in tried:
        if all((place / part).is_dir() for part in PARTS):
            return Resources(*(place / part for part in PARTS))
    places = " and ".join(str(place) for place in tried)
    raise ConfigError(
        f"the folders {', '.join(PARTS)} were not found in {places}:"
        " install juggernaut-swarm again, or run from a complete checkout"
    )


def role_files(folders: Sequence[Path]) -> dict[str, Path]:
    """Give the role files by role name; a later folder may not redefine an earlier role."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in _python_files(folder):
            if path.stem in found:
                raise ConfigError(
                    f"role {path.stem!r} is in {found[path.stem]} and in {path}: rename one"
                )
            found[path.stem] = path
    return found


def _python_files(folder: Path) -> Iterator[Path]:
    """Give the files of a folder that can be roles, in order of name."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigError(
            f"the role folder {folder} cannot be read: {error.strerror}; check roles_dir"
        ) from None
    return (path for path in paths if ROLE_FILE.fullmatch(path.name) and path.is_file())


def read_prompts(folder: Path) -> dict[str, str]:
    """Read the prompts, each a Markdown file, by name."""
    prompts = {}
    for path in sorted(folder.glob("*.md")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from None
        if len(text) > limits.TEXT_CHARS:
            raise ConfigError(f"{path}: longer than {limits.TEXT_CHARS} characters")
        prompts[path.stem] = text
    return prompts


def default_data_dir() -> Path:
    """Give the folder for work trees and local state: XDG_DATA_HOME, else ~/.juggernaut."""
    xdg = os.environ.get("XDG_DATA_HOME", "")
    if xdg and Path(xdg).is_absolute():
        return Path(xdg) / "juggernaut"
    try:
        return Path.home() / ".juggernaut"
    except RuntimeError:
        raise ConfigError("no home folder: set HOME or JUGGERNAUT_DATA_DIR") from None
