"""Worker processes for hundreds of trials: `juggernaut run`, forked where it is loaded already.

A fork server has imported the program once, so that a process costs a fifth of a second less. Its
writes to the forge are not paced: the pause that GitHub asks for is no part of what is tried here.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import github

from juggernaut.__main__ import main
from juggernaut.adapters.forges.github.client import Client
from juggernaut.app import wiring
from juggernaut.domain import faults

PRELOADED = (__name__, github.__name__, wiring.__name__, "juggernaut.app.cli.run")
KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH")
END_SECONDS = 45.0


def work(environment: Mapping[str, str], log: str) -> None:
    """Be `juggernaut run` in an environment that holds nothing but this."""
    os.environ.clear()
    os.environ.update(environment)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, sys.stdout.fileno())
    os.dup2(out, sys.stderr.fileno())
    pace = Client.__init__.__kwdefaults__ or {}
    assert "write_pause_seconds" in pace
    pace["write_pause_seconds"] = 0.0
    faults.arm(os.environ.get(faults.VARIABLE))
    sys.argv = ["juggernaut", "run"]
    main()


@dataclass(frozen=True, slots=True)
class Forked:
    """A worker process, and what it wrote."""

    process: ForkServerProcess
    log: Path

    @property
    def pid(self) -> int:
        """Give its process id."""
        assert self.process.pid is not None
        return self.process.pid

    def stands_still(self) -> bool:
        """Ask the system whether the process is stopped."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] == "T"

    def signal(self, number: int) -> None:
        """Send a signal, also to one that has ended."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return

    def end(self) -> None:
        """Let a process end what it does, a stopped one too; by force when it does not obey."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        self.process.join(END_SECONDS)
        self.process.kill()
        self.process.join()


def fork(folder: Path, name: str, settings: Mapping[str, str]) -> Forked:
    """Start a worker process with a home of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    home, log = folder / name, folder / f"{name}.log"
    home.mkdir(exist_ok=True)
    kept = {key: os.environ[key] for key in KEPT if key in os.environ}
    environment = {**kept, "HOME": str(home), "WORKER_ID": name, **settings}
    process = context.Process(target=work, args=(environment, str(log)), daemon=True)
    process.start()
    return Forked(process, log)
