"""A place where bare can give commands another account: root, and a Python that is open to all."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from juggernaut.adapters.sandboxes import account

PYTHONS = (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3")


def open_python() -> str:
    """Give a Python that every account may run, or skip with what is missing."""
    if (reason := account.lacks()) is not None:
        pytest.skip(f"needs root with its powers: {reason}")
    for name in PYTHONS:
        if Path(name).exists() and account.closed(Path(name).resolve().parent) is None:
            return name
    pytest.skip(f"needs a Python that every account may run: {', '.join(PYTHONS)} is none")


@contextmanager
def open_place() -> Iterator[Path]:
    """Lend a folder that every account may enter, which pytest's own are not."""
    place = Path(tempfile.mkdtemp(prefix="juggernaut-open-"))
    place.chmod(0o755)
    if (reason := account.closed(place)) is not None:
        place.rmdir()
        pytest.skip(f"needs a folder for temporary files that is open to all: {reason}")
    try:
        yield place
    finally:
        shutil.rmtree(place)


def living(number: int) -> list[int]:
    """Give the processes of an account that are not dead yet."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text(encoding="utf-8")
            except OSError:
                continue
            if f"Uid:\t{number}\t" in status and "State:\tZ" not in status:
                found.append(int(entry.name))
    return found


def owner(path: Path) -> int:
    """Give who owns a path, not what it leads to."""
    return os.lstat(path).st_uid
