"""The worker process of `demo` and `up`: what it is given, and how it is stopped."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from juggernaut.app import local_swarm
from juggernaut.app.local_swarm import (
    PID_FILE,
    WorkerProcess,
    ends_on_sigterm,
    inherited,
    log_tail,
    start_worker,
    stop_recorded,
)

DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)\n"
DEAF += "while True: time.sleep(60)"


async def child(code: str) -> asyncio.subprocess.Process:
    """Start Python code that says when it is up."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"up\n"
    return process


def test_a_worker_never_inherits_the_operators_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither directly nor as the file that holds it; the rest comes along."""
    for name in ("DATABASE_URL", "DATABASE_URL_FILE", "WORKER_DATABASE_URL_FILE", "PGPASSWORD"):
        monkeypatch.setenv(name, "FAKE")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("JUGGERNAUT_SCRIPT", "x")
    found = inherited(without=["JUGGERNAUT_SCRIPT"])
    assert "FAKE" not in found.values()
    assert found["OPENAI_BASE_URL"] == "http://127.0.0.1:1"
    assert "JUGGERNAUT_SCRIPT" not in found


async def test_a_worker_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM first, SIGKILL when its time is up."""
    monkeypatch.setattr(local_swarm, "STOP_SECONDS", 0.2)
    process = await child(DEAF)
    assert await WorkerProcess(process, tmp_path / "log").stop() == -9


async def test_a_cancelled_stop_leaves_no_process(tmp_path: Path) -> None:
    """A second Ctrl-C does not wait, and does not leave the worker behind."""
    process = await child(DEAF)
    stopping = asyncio.create_task(WorkerProcess(process, tmp_path / "log").stop())
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert await process.wait() == -9


async def test_a_worker_without_settings_says_why_in_its_log(tmp_path: Path) -> None:
    """It ends with code 2, and its log has the line."""
    environment = inherited() | {"HOME": str(tmp_path)}
    worker = await start_worker(tmp_path, environment)
    assert await worker.process.wait() == 2
    assert "DATABASE_URL" in worker.tail()
    assert worker.ended == 2


async def test_only_the_very_process_that_was_noted_is_stopped(tmp_path: Path) -> None:
    """A number that was given out again belongs to somebody else."""
    process = await child("print('up', flush=True); input()")
    note = {"pid": process.pid, "started": "another time"}
    (tmp_path / PID_FILE).write_text(json.dumps(note), encoding="utf-8")
    assert not await stop_recorded(tmp_path)
    assert process.returncode is None
    process.kill()
    await process.wait()
    (tmp_path / PID_FILE).write_text("nonsense", encoding="utf-8")
    assert not await stop_recorded(tmp_path)
    assert not await stop_recorded(tmp_path / "nothing")


async def test_sigterm_ends_a_block_as_ctrl_c_does() -> None:
    """Cleaning up happens; another cancellation stays one."""
    cleaned = []

    async def work() -> None:
        """Be cancelled by somebody, not by a signal."""
        with ends_on_sigterm():
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.append("done")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == ["done"]


def test_a_tail_is_the_end(tmp_path: Path) -> None:
    """A long log is cut at its beginning; none is empty."""
    log = tmp_path / "log"
    assert log_tail(log) == ""
    log.write_text("x" * 9_000 + "end", encoding="utf-8")
    assert log_tail(log).endswith("xend")
    assert len(log_tail(log)) == local_swarm.TAIL_BYTES
