"""Run one program from an argv list: own process group, bounded output, dead when it returns."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHUNK_BYTES: Final = 64 * 1024
STDERR_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended; `too_long` says that it was killed for the size of its output."""

    code: int
    out: bytes
    err: str
    too_long: bool = False


async def run_bounded(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stdin: bytes,
    timeout_seconds: float,
    max_bytes: int,
    file_bytes: int | None = None,
) -> Ended:
    """Run argv with exactly this environment; no file of it grows beyond `file_bytes`.

    Raises TimeoutError after `timeout_seconds` and OSError when the program cannot be started.
    Its whole process group is killed on every way out that is not its own end.
    """
    process = await _start(argv, env, cwd)
    try:
        if file_bytes is not None:
            # The children that write files start later, and inherit it.
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
        async with asyncio.timeout(timeout_seconds):
            _, (out, too_long), err = await asyncio.gather(
                _feed(process, stdin), _read(process, max_bytes), _tail(process)
            )
            code = await process.wait()
    finally:
        await _end(process)
    return Ended(code, out, err.decode("utf-8", "replace"), too_long)


async def _start(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path
) -> asyncio.subprocess.Process:
    """Start a program; who is cancelled meanwhile leaves none of its group behind.

    A cancelled create_subprocess_exec would kill the program alone and not its children.
    """
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *argv,
            env=dict(env),
            cwd=cwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            await _end(await starting)
        raise


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    """Write all of standard input; a program that does not read it is no error."""
    pipe = process.stdin
    if pipe is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        pipe.write(data)
        await pipe.drain()
    pipe.close()


async def _read(process: asyncio.subprocess.Process, max_bytes: int) -> tuple[bytes, bool]:
    """Read standard output up to a bound; beyond it the program is killed."""
    kept = bytearray()
    too_long = False
    while process.stdout and (chunk := await process.stdout.read(CHUNK_BYTES)):
        if len(kept) + len(chunk) <= max_bytes and not too_long:
            kept += chunk
        elif not too_long:
            too_long = True
            _kill_group(process)
    return bytes(kept), too_long


async def _tail(process: asyncio.subprocess.Process) -> bytes:
    """Read standard error and keep its end."""
    kept = b""
    while process.stderr and (chunk := await process.stderr.read(CHUNK_BYTES)):
        kept = (kept + chunk)[-STDERR_BYTES:]
    return kept


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what still runs and read its pipes empty, so that nothing stays open."""
    if process.returncode is not None:
        return
    _kill_group(process)
    if process.stdin:
        process.stdin.close()
    await asyncio.gather(_read(process, 0), _tail(process))
    await process.wait()


def _kill_group(process: asyncio.subprocess.Process) -> None:
    """Kill the program and its children; it leads its own group, named by its own pid."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
