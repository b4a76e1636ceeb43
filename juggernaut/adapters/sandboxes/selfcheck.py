"""Tries every attack against a sandbox, and says which it stops.

The sandbox must have been told to hide the file of `bait_in`. What an attack wrote is looked for on
the machine; only what leaves no trace is believed to the script inside.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from juggernaut.adapters.sandboxes import attacks, process
from juggernaut.domain import limits
from juggernaut.ports import Sandbox

CHECK_SECONDS: Final = 60.0
SHELL_ADDS: Final = ("PWD", "LC_CTYPE", "SHLVL", "_")
FORK: Final = attacks.many_processes.__name__
# A process of the same account that has made itself opaque, as the daemon does at its start.
OTHER: Final = """
import ctypes, sys
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
print(flush=True)
sys.stdin.read()
"""
# What is told to a reader: the attack, and in which words.
TOLD: Final = {
    "write": "write outside of the work tree",
    "write_through_link": "write outside through a symbolic link",
    "write_through_proc": "write outside through /proc/*/root",
    "write_through_hard_link": "write outside through a hard link",
    "truncate": "truncate a file outside",
    "read_hidden": "read a hidden file of a secret",
    "environment": "inherit the worker's environment",
    "read_daemon": "read /proc/PID/environ of the worker",
    "trace_daemon": "ptrace the worker",
    "signal_daemon": "signal the worker",
    "network": "reach the network",
    "abstract_socket": "reach an abstract socket of the machine",
    "named_socket": "reach a socket in /tmp or /run",
    "device": "make a device file",
    "huge_file": "fill the disk with one file",
    "huge_memory": "take more than its memory",
    "many_files": "lift the limit of open files",
    FORK: "fork without end",
}
TRACES: Final = {"write": "plain", "write_through_link": "linked", "write_through_proc": "rooted"}
CHANGES: Final = {"write_through_hard_link": "kept", "truncate": "long"}


@dataclass(frozen=True, slots=True)
class Tried:
    """One attack: `stopped` says that the sandbox held."""

    attack: str
    stopped: bool

    @property
    def told(self) -> str:
        """Give it in words."""
        return TOLD[self.attack]


def bait_in(folder: Path) -> Path:
    """Put a file into a folder that a sandbox is then told to hide."""
    bait = folder / "bait"
    bait.write_text("not to be read", encoding="utf-8")
    return bait


async def examine(sandbox: Sandbox, bait: Path) -> tuple[Tried, ...]:
    """Run every attack from a new folder beside the bait."""
    place = bait.parent / f"check-{uuid.uuid4().hex}"
    tree, outside = place / "tree", place / "outside"
    for folder in (tree, outside):
        folder.mkdir(parents=True)
    for name in CHANGES.values():
        (outside / name).write_text(name, encoding="utf-8")
    async with _machine(outside) as facts:
        facts["hidden"] = str(bait)
        worked = await _run(sandbox, tree, facts | {"fork": False})
        worked |= await _run(sandbox, tree, facts | {"fork": True})
    for attack, name in TRACES.items():
        worked[attack] = (outside / name).exists()
    for attack, name in CHANGES.items():
        worked[attack] = (outside / name).read_text(encoding="utf-8") != name
    # One that killed the script before it could say so was stopped only if it is the last.
    worked.setdefault(FORK, False)
    return tuple(Tried(attack, not worked.get(attack, True)) for attack in TOLD)


async def _run(sandbox: Sandbox, tree: Path, facts: dict[str, Any]) -> dict[str, bool]:
    """Run the script inside; gives what it says that worked."""
    source = await asyncio.to_thread(Path(attacks.__file__).read_text, encoding="utf-8")
    argv = [sys.executable, "-I", "-S", "-c", source, json.dumps(facts)]
    result = await sandbox.run(argv, tree, timeout_seconds=CHECK_SECONDS)
    said = [json.loads(line) for line in result.output.splitlines() if line.startswith("[")]
    return {str(name): bool(worked) for name, worked in said}


@asynccontextmanager
async def _machine(outside: Path) -> AsyncIterator[dict[str, Any]]:
    """Give what is there to be reached: two sockets, a port, a process of the same account."""
    mark = uuid.uuid4().hex
    with _listening(mark, f"/tmp/.juggernaut-{mark[:8]}") as (port, service):  # noqa: S108
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", OTHER, attacks.VICTIM + mark),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            if other.stdout is not None:
                await other.stdout.readline()
            yield {
                "mark": mark,
                "outside": str(outside),
                "port": port,
                "service": service,
                "variables": [*process.environment(outside), *SHELL_ADDS],
                "file_bytes": limits.COMMAND_FILE_BYTES,
                "memory_bytes": limits.COMMAND_MEMORY_BYTES,
                "files": limits.COMMAND_OPEN_FILES,
                "processes": limits.COMMAND_PROCESSES + 1,
            }
        finally:
            other.kill()
            await other.communicate()


@contextmanager
def _listening(mark: str, service: str) -> Iterator[tuple[int, str]]:
    """Listen at a port, at an abstract socket and at one in /tmp."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as named,
    ):
        for one, address in ((abstract, f"\0{mark}"), (named, service)):
            one.bind(address)
            one.listen()
        try:
            yield tcp.getsockname()[1], service
        finally:
            Path(service).unlink()
