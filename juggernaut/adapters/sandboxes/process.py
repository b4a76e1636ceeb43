"""Runs one argv through the launcher: built environment, bounded output, nobody left alive."""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from juggernaut.adapters.sandboxes import launch
from juggernaut.adapters.sandboxes.output import Output
from juggernaut.domain import limits
from juggernaut.domain.exchange import CommandResult

TIMED_OUT: Final = 124
# The launcher needs its grace and its sweep; past that it is itself stuck or was killed.
LAUNCHER_SECONDS: Final = limits.KILL_GRACE_SECONDS + launch.SWEEP_SECONDS + 1.0


@dataclass(frozen=True, slots=True)
class Command:
    """What to start: `shown` is what was asked for, `argv` with the sandbox around it."""

    shown: tuple[str, ...]
    argv: tuple[str, ...]
    cwd: Path
    timeout_seconds: float
    no_new_privileges: bool
    memory_bytes: int = limits.COMMAND_MEMORY_BYTES
    account: int | None = None


def refusal(argv: Sequence[str], cwd: Path) -> str | None:
    """Say why a command cannot be started whatever the machine, or None."""
    if not argv or not argv[0]:
        return "cannot start an empty command: give a program and its arguments"
    for word in argv:
        if "\0" in word:
            return f"cannot start {argv[0]!r}: an argument holds a NUL character"
        try:
            os.fsencode(word)
        except UnicodeEncodeError:
            return f"cannot start {argv[0]!r}: an argument holds text that is not Unicode"
    return None if cwd.is_dir() else f"cannot start {argv[0]!r}: no folder {cwd}"


def missing(writable: Sequence[Path]) -> str | None:
    """Name a writable path that is not there: nothing could be opened for it."""
    gone = [str(path) for path in writable if not path.exists()]
    return f"cannot open {', '.join(gone)} for writing: no such folder" if gone else None


def interpreter() -> list[Path]:
    """Give the folders that this Python needs, real and as it is called, without repeats."""
    named = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).parent]
    return list(dict.fromkeys([*named, *(path.resolve() for path in named)]))


def environment(home: Path) -> dict[str, str]:
    """Build the whole environment of a command; nothing of the daemon's but PATH gets in."""
    here = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    return {
        "PATH": f"{here}{os.pathsep}{path}",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }


@asynccontextmanager
async def fresh_home(scratch: Path) -> AsyncIterator[Path]:
    """Lend a folder that no other command sees: a poisoned HOME must not reach the verifier."""
    home = await asyncio.to_thread(_make, scratch)
    try:
        yield home
    finally:
        await asyncio.shield(asyncio.to_thread(_remove, home))


def not_started(argv: Sequence[str], reason: str) -> CommandResult:
    """Give the result of a command that never ran."""
    return CommandResult(tuple(argv), launch.NOT_STARTED, reason, seconds=0.0)


async def run(command: Command, home: Path) -> CommandResult:
    """Run to the end, the time limit or cancellation; all its processes are dead then."""
    started = time.monotonic()
    output = Output(limits.COMMAND_OUTPUT_BYTES)
    try:
        launcher = await _start(command, home, output)
    except OSError as error:
        output.close()
        return not_started(command.shown, f"cannot start {command.shown[0]!r}: {error}")
    try:
        timed_out = not await _ended(launcher, command.timeout_seconds)
        if timed_out:
            await _stop(launcher, signal.SIGTERM, home)
    except asyncio.CancelledError:
        await _surely(_stop(launcher, signal.SIGINT, home))
        raise
    finally:
        output.close()
    if launcher.returncode is None or launcher.returncode < 0:
        _kill_marked(home)
    code = _exit_code(launcher.returncode, timed_out=timed_out)
    seconds = time.monotonic() - started
    return CommandResult(
        command.shown, code, output.text(), seconds, timed_out, truncated=output.truncated
    )


def _exit_code(returned: int | None, *, timed_out: bool) -> int:
    """Give the exit code: 128+n for a signal, never 0 for what had to be told to stop."""
    code = -signal.SIGKILL if returned is None else returned
    code = launch.SIGNAL_BASE - code if code < 0 else code
    return code or TIMED_OUT if timed_out else code


async def _start(command: Command, home: Path, output: Output) -> asyncio.subprocess.Process:
    """Start the launcher on a command; stdout and stderr share one pipe, so order is kept."""
    spec = launch.Spec(
        parent=os.getpid(),
        cwd=str(command.cwd),
        memory_bytes=command.memory_bytes,
        file_bytes=limits.COMMAND_FILE_BYTES,
        processes=limits.COMMAND_PROCESSES,
        # Time on all processors for as long as it may run: what ends is who forgets to sleep.
        cpu_seconds=math.ceil(command.timeout_seconds) * (os.cpu_count() or 1) + 1,
        open_files=limits.COMMAND_OPEN_FILES,
        grace_seconds=limits.KILL_GRACE_SECONDS,
        no_new_privileges=command.no_new_privileges,
        account=command.account,
    )
    with output.writing_end() as pipe:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", launch.__file__, json.dumps(asdict(spec))),
            *command.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            cwd="/",
            env=environment(home),
            start_new_session=True,
        )


async def _ended(launcher: asyncio.subprocess.Process, seconds: float) -> bool:
    """Wait for the launcher; False when the time was up first."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await launcher.wait()
    except TimeoutError:
        return False
    return True


async def _stop(launcher: asyncio.subprocess.Process, how: signal.Signals, home: Path) -> None:
    """Have the launcher end its command; one that does not answer is killed with all below."""
    with suppress(ProcessLookupError):
        launcher.send_signal(how)
        launcher.send_signal(signal.SIGCONT)  # a command may have stopped it
    if await _ended(launcher, LAUNCHER_SECONDS):
        return
    for pid in (launcher.pid, *launch.descendants(launcher.pid)):
        _kill(pid)
    _kill_marked(home)
    await launcher.wait()


def _kill_marked(home: Path) -> None:
    """Kill whoever carries this run's own HOME: a command may have killed its launcher."""
    mark = b"HOME=" + os.fsencode(home)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    _kill(int(entry.name))


def _kill(pid: int) -> None:
    """Kill a process that may be gone already or belong to somebody else."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


async def _surely(work: Coroutine[None, None, None]) -> None:
    """Await to the end even if this task is cancelled again meanwhile."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)


def _make(scratch: Path) -> Path:
    """Make a new folder under scratch, by its real name."""
    scratch.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="run-", dir=scratch.resolve()))


def _remove(folder: Path) -> None:
    """Remove a folder that hostile code has filled; what cannot go stays for the next sweep."""
    for path, _, _ in os.walk(folder):
        with suppress(OSError):
            Path(path).chmod(stat.S_IRWXU)
    with suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
