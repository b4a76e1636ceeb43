"""The sample repository: a small real package with a real bug and a test that shows it."""

from __future__ import annotations

import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from juggernaut.app.git_facts import must

SUFFIX: Final = ".txt"  # so that no tool takes the sample for a part of this program
IGNORED: Final = "__pycache__/\ndist/\n"
AUTHOR: Final = ("-c", "user.name=Sample Author", "-c", "user.email=author@example.invalid")
TEST_COMMAND: Final = (sys.executable, "-m", "unittest", "-q")


async def write_sample(folder: Path) -> str:
    """Write the repository with two commits of history; gives the sha of its head."""
    written = _write(folder)
    await must("init", "--quiet", "--initial-branch=main", cwd=folder)
    tests = [name for name in written if name.startswith("tests/")]
    await _commit(folder, [name for name in written if name not in tests], "Slugs 0.3.0")
    await _commit(folder, tests, "Test how slugs are cut; two tests are red")
    return await must("rev-parse", "HEAD", cwd=folder)


def script_text() -> str:
    """Give the scripted model's turns, with this interpreter where a command needs one."""
    text = (files(__package__) / "script.yaml").read_text(encoding="utf-8")
    return text.replace("{python}", sys.executable)


def _write(folder: Path) -> list[str]:
    """Write the files; gives their names."""
    folder.mkdir(parents=True)
    (folder / ".gitignore").write_text(IGNORED, encoding="utf-8")
    return _copy(files(__package__) / "sample", folder)


async def _commit(folder: Path, names: list[str], message: str) -> None:
    """Commit some files."""
    await must("add", ".gitignore", *names, cwd=folder)
    await must(*AUTHOR, "commit", "--quiet", "--message", message, cwd=folder)


def _copy(source: Traversable, target: Path, above: str = "") -> list[str]:
    """Copy the stored files without their suffix; gives their names."""
    written = []
    for entry in sorted(source.iterdir(), key=lambda item: item.name):
        name = f"{above}{entry.name.removesuffix(SUFFIX)}"
        if entry.is_dir():
            written += _copy(entry, target, f"{name}/")
        elif entry.name.endswith(SUFFIX):
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(entry.read_bytes())
            written.append(name)
    return written
