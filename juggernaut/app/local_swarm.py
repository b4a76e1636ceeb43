"""A swarm on this machine: a database, a worker process, and what is needed to stop them again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from juggernaut.app import local_postgres
from juggernaut.app.local_postgres import LocalServer
from juggernaut.domain import limits
from juggernaut.domain.errors import ConfigError, InvariantBroken

STOP_SECONDS: Final = limits.DRAIN_SECONDS + 10.0
POLL_SECONDS: Final = 0.05
TAIL_BYTES: Final = 4_000
DATABASE_FOLDER: Final = "postgres"
PID_FILE: Final = "worker.json"
LOG_FILE: Final = "worker.log"
# What only an operator may know; a worker process gets its own login.
OPERATOR_ONLY: Final = ("DATABASE_URL", "WORKER_DATABASE_URL", "PGPASSWORD")


@dataclass(slots=True)
class WorkerProcess:
    """One `juggernaut run` as a child, in a session of its own: Ctrl-C reaches only its parent."""

    process: asyncio.subprocess.Process
    log: Path

    @property
    def ended(self) -> int | None:
        """Give the exit code once it has ended."""
        return self.process.returncode

    def tail(self) -> str:
        """Give the end of its log."""
        return log_tail(self.log)

    async def stop(self) -> int:
        """Ask it to finish, wait for that, and kill it when it does not; gives its exit code."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await self.process.wait()
        except TimeoutError:
            self._kill()
            return await self.process.wait()
        except asyncio.CancelledError:
            # A second Ctrl-C: what was held is taken back by the next swarm's watchdog.
            self._kill()
            raise

    def _kill(self) -> None:
        """End it at once, if it has not ended."""
        if self.process.returncode is None:
            self.process.kill()


def inherited(without: Iterable[str] = ()) -> dict[str, str]:
    """Give this process's environment without some settings, and never with the operator's."""
    dropped = {*OPERATOR_ONLY, *without}
    dropped |= {f"{name}_FILE" for name in dropped}
    return {name: value for name, value in os.environ.items() if name not in dropped}


async def start_worker(folder: Path, environment: Mapping[str, str]) -> WorkerProcess:
    """Start the worker process with exactly this environment."""
    log = folder / LOG_FILE
    try:
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "juggernaut", "run"),
                cwd=folder,
                env=dict(environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    except OSError as error:
        raise ConfigError(f"{sys.executable} cannot be started in {folder}: {error}") from None
    note = {"pid": process.pid, "started": _started(process.pid)}
    (folder / PID_FILE).write_text(json.dumps(note), encoding="utf-8")
    return WorkerProcess(process, log)


@asynccontextmanager
async def running_worker(
    folder: Path, environment: Mapping[str, str], *, keep: bool
) -> AsyncIterator[WorkerProcess]:
    """Run the worker process as long as the block; with `keep` it lives on."""
    worker = await start_worker(folder, environment)
    try:
        yield worker
    finally:
        if not keep:
            await worker.stop()


@asynccontextmanager
async def running_database(
    data_dir: Path, database: str, *, durable: bool, keep: bool
) -> AsyncIterator[LocalServer]:
    """Run PostgreSQL as long as the block; one that ran before, or with `keep`, lives on."""
    is_new = _missing(data_dir)
    try:
        server = await local_postgres.start(data_dir, durable=durable, database=database)
    except asyncio.CancelledError:
        # Ctrl-C between the start and its answer; nobody else can use a folder that is new.
        if is_new:
            await local_postgres.stop(data_dir)
        raise
    try:
        yield server
    finally:
        if server.started_here and not keep:
            await local_postgres.stop(data_dir)


async def stop_recorded(folder: Path) -> bool:
    """Stop the worker that an earlier command left running in this folder; False if none runs."""
    try:
        note = json.loads((folder / PID_FILE).read_text(encoding="utf-8"))
        pid, started = int(note["pid"]), note["started"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False
    # A number is given out again; the start time says that it is still the same process.
    if started is None or _started(pid) != started:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _started(pid) == started:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            break
        await asyncio.sleep(POLL_SECONDS)
    return True


async def stop_left_running(folder: Path) -> int:
    """Stop what `--keep` left in a folder: workers, then the database; gives their number."""
    workers = [await stop_recorded(run) for run in _runs(folder)]
    return sum(workers) + int(await local_postgres.stop(folder / DATABASE_FOLDER))


def _runs(folder: Path) -> list[Path]:
    """Give the folders in which a worker may have been started."""
    return [folder, *sorted(folder.glob("run-*"))]


def _missing(path: Path) -> bool:
    """Say whether nothing is there."""
    return not path.exists()


def log_tail(log: Path) -> str:
    """Give the end of a log file; nothing when there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return file.read().decode("utf-8", "replace")


def _started(pid: int) -> str | None:
    """Give when a process started (in clock ticks since boot); None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    state, start = fields[0], fields[19]
    return None if state in "ZX" else start


@contextmanager
def ends_on_sigterm() -> Iterator[None]:
    """Let SIGTERM cancel the running task, so that it cleans up as it does for Ctrl-C."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is None:
        raise InvariantBroken("ends_on_sigterm is for a running task")
    asked = False

    def end() -> None:
        """Cancel."""
        nonlocal asked
        asked = True
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        yield
    except asyncio.CancelledError:
        if asked:
            raise KeyboardInterrupt from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
