"""The sockets and the order of one run, in a folder that is new for it.

This process never opens a name there that a program inside could have put in its place: it binds
its sockets and writes its files before the program starts.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from juggernaut.relay import inside

# Where the way to the allowed hosts is told to programs: those that know proxies look for both.
PROXY_VARIABLES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
NO_PROXY_VARIABLES: Final = ("NO_PROXY", "no_proxy")


@dataclass(frozen=True, slots=True)
class Order:
    """What the relay starts.

    `doors` are marks, which become ports, with the sockets behind them; `keeps` the variables that
    it passes on (None: all of them); `said` the file that is the program's input. `tells` and
    `serves` are for code agents: their output has a socket, and so have connections into them.
    """

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    doors: Mapping[str, str]
    keeps: Sequence[str] | None = None
    said: str = os.devnull
    files: Mapping[str, str] = field(default_factory=dict)
    tells: bool = False
    serves: bool = False


@dataclass(frozen=True, slots=True)
class Doors:
    """The folder of one run."""

    folder: Path

    def listen(self, name: str) -> socket.socket:
        """Bind a socket by its name in the folder, however long that path is."""
        handle = os.open(self.folder, os.O_PATH | os.O_DIRECTORY)
        try:
            bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            bound.bind(f"/proc/self/fd/{handle}/{name}")
        finally:
            os.close(handle)
        return bound

    def write(self, name: str, text: str) -> None:
        """Write a file that only this account can read."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")

    def order(self, order: Order) -> list[str]:
        """Write an order down; gives the command that carries it out inside."""
        self.write("spec.json", json.dumps(asdict(order)))
        source = Path(inside.__file__).read_text(encoding="utf-8")
        return [sys.executable, "-I", "-S", "-c", source, str(self.folder)]

    def remove(self) -> None:
        """Remove the folder with what is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def open_doors(place: Path) -> Doors:
    """Make a new folder below a place."""
    return Doors(Path(tempfile.mkdtemp(prefix="doors-", dir=place.resolve())))
