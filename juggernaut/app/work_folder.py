"""Folders that belong to one process at a time.

A lock says whose they are, and the kernel lets it go when the process dies in any way: one that
was killed leaves its folder to the next one, which sweeps what lies in there.
"""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from juggernaut.domain.errors import ConfigError

SWARM_LOCK: Final = "swarm.lock"
ANOTHER_DATA_DIR: Final = "set JUGGERNAUT_DATA_DIR"
ANOTHER_DIR: Final = "give another --dir"


def make_folder(path: Path, remedy: str = ANOTHER_DATA_DIR) -> Path:
    """Make a folder and give its real path; ConfigError when that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the folder {path} cannot be made: {error.strerror}; {remedy}") from None
    return path.resolve()


@contextmanager
def own_folder(parent: Path) -> Iterator[Path]:
    """Hold the first free folder process-N under `parent` for as long as the block lasts."""
    make_folder(parent)
    for number in itertools.count():
        with _locked(parent / f"process-{number}.lock", ANOTHER_DATA_DIR) as lock:
            if lock is None:
                continue
            yield make_folder(parent / f"process-{number}")
            return


@contextmanager
def own_swarm(folder: Path) -> Iterator[None]:
    """Let nobody else start a swarm in a folder for as long as the block lasts.

    Raises ConfigError when somebody does already. What `--keep` leaves running holds no lock.
    """
    path = folder / SWARM_LOCK
    with _locked(path, ANOTHER_DIR) as lock:
        if lock is None:
            raise ConfigError(
                f"another `juggernaut up` or `juggernaut demo` works in {folder}"
                f" (pid {_holder(path)}): stop it, or {ANOTHER_DIR}"
            )
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        yield


@contextmanager
def _locked(path: Path, remedy: str) -> Iterator[int | None]:
    """Hold the lock of a file; gives its descriptor, None when another process holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; {remedy}") from None
    try:
        yield descriptor if _taken(descriptor) else None
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Take a lock without waiting; False when another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(path: Path) -> str:
    """Give the number that the holder of a lock wrote into it."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        text = ""
    return text or "unknown"
