"""A folder for work trees that belongs to one process at a time.

The number of the folder is found by locking, so a process that was killed leaves its folder to
the next one, which sweeps what lies in there.
"""

from __future__ import annotations

import fcntl
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from juggernaut.domain.errors import ConfigError


def make_folder(path: Path) -> Path:
    """Make a folder and give its real path; ConfigError when that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the folder {path} cannot be made: {error.strerror}; set JUGGERNAUT_DATA_DIR"
        ) from None
    return path.resolve()


@contextmanager
def own_folder(parent: Path) -> Iterator[Path]:
    """Hold the first free folder process-N under `parent` for as long as the block lasts."""
    make_folder(parent)
    for number in itertools.count():
        with (parent / f"process-{number}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield make_folder(parent / f"process-{number}")
            return
