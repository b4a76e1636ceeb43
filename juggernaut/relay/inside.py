"""Runs a program where there is no network: its only way out is the worker's sockets.

Run as a script of its own inside the sandbox, with the folder of the sockets as its argument. It
offers each of the worker's sockets at a port of the loopback, and starts the program with an
environment that says so. Of a code agent it also passes on what the agent prints, and for one that
is itself a server it carries the worker's connections in. It decides nothing: whatever lives here
is as hostile as the program.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

CHUNK = 65_536
LOOPBACK = "127.0.0.1"
NOT_STARTED = 127
SIGNAL_BASE = 128
LAST_WORDS_SECONDS = 2.0

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def main(folder: str) -> int:
    """Run the program that the file `spec.json` describes; gives its exit code."""
    os.chdir(folder)  # the names of sockets have at most some 100 bytes
    spec = _read_spec()
    doors = [
        (mark, await asyncio.start_server(partial(_lead_out, name), LOOPBACK, 0))
        for mark, name in spec["doors"].items()
    ]
    ports = {mark: str(door.sockets[0].getsockname()[1]) for mark, door in doors}
    inward = None
    if spec["serves"]:
        port = _free_port()
        ports["@PORT@"] = str(port)
        inward = asyncio.create_task(_carry_in(port))
    _write_files(spec["files"], ports)
    try:
        return await (_told(spec, ports) if spec["tells"] else _plain(spec, ports))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cannot start {spec['argv'][0]!r}: {error}\n")
        return NOT_STARTED
    finally:
        if inward is not None:
            inward.cancel()


async def _plain(spec: dict[str, Any], ports: dict[str, str]) -> int:
    """Run the program with the output of this one."""
    return _exit_code(await (await _start(spec, ports, None)).wait())


async def _told(spec: dict[str, Any], ports: dict[str, str]) -> int:
    """Run the program, and pass on what it prints."""
    events = await asyncio.open_unix_connection("events.sock")
    output, printing = os.pipe()
    try:
        agent = await _start(spec, ports, printing)
    finally:
        os.close(printing)
    telling = asyncio.create_task(_tell(output, events[1]))
    code = await agent.wait()
    # A grandchild may hold the pipe open for ever.
    await asyncio.wait({telling}, timeout=LAST_WORDS_SECONDS)
    return _exit_code(code)


def _exit_code(code: int) -> int:
    """Give the exit code as a shell does."""
    return SIGNAL_BASE - code if code < 0 else code


async def _start(
    spec: dict[str, Any], ports: dict[str, str], printing: int | None
) -> asyncio.subprocess.Process:
    """Start the program; its input is a file. `keeps` names what it has of our environment."""
    kept = os.environ if spec["keeps"] is None else spec["keeps"]
    environment = {name: os.environ[name] for name in kept if name in os.environ} | spec["env"]
    said = os.open(spec["said"], os.O_RDONLY)
    try:
        return await asyncio.create_subprocess_exec(
            *(_filled(word, ports) for word in spec["argv"]),
            stdin=said,
            stdout=printing,
            cwd=spec["cwd"],
            env={name: _filled(value, ports) for name, value in environment.items()},
        )
    finally:
        os.close(said)


def _read_spec() -> dict[str, Any]:
    """Read what to start, and take it away: it holds the key of this run, and others may look."""
    order = Path("spec.json")
    spec: dict[str, Any] = json.loads(order.read_text(encoding="utf-8"))
    order.unlink()
    return spec


def _filled(text: str, ports: dict[str, str]) -> str:
    """Put the ports in place of their marks."""
    for mark, port in ports.items():
        text = text.replace(mark, port)
    return text


def _free_port() -> int:
    """Find a port for the program's own server."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _write_files(files: dict[str, str], ports: dict[str, str]) -> None:
    """Write the program's settings."""
    for name, text in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(text, ports), encoding="utf-8")


async def _tell(output: int, events: asyncio.StreamWriter) -> None:
    """Pass on what the agent prints."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    with os.fdopen(output, "rb") as pipe:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        await _pump(reader, events)


async def _lead_out(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Join a connection of the program with a socket of the worker, or close it."""
    try:
        outer = await asyncio.open_unix_connection(name)
    except OSError:
        writer.close()
        return
    await _join((reader, writer), outer)


async def _carry_in(port: int) -> None:
    """Keep one idle connection to the worker; what it sends there goes to the agent's server."""
    joined: set[asyncio.Task[None]] = set()
    while True:
        reader, writer = await asyncio.open_unix_connection("reach.sock")
        first = await reader.read(CHUNK)
        if not first:
            return
        task = asyncio.create_task(_to_agent(first, (reader, writer), port))
        joined.add(task)
        task.add_done_callback(joined.discard)


async def _to_agent(first: bytes, outer: Stream, port: int) -> None:
    """Join a connection of the worker with the agent's server, or close it if there is none."""
    try:
        inner = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        outer[1].close()
        return
    inner[1].write(first)
    await _join(outer, inner)


async def _join(one: Stream, other: Stream) -> None:
    """Carry bytes both ways until both sides have ended."""
    await asyncio.gather(_pump(one[0], other[1]), _pump(other[0], one[1]))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way; the end of one side is passed on."""
    with suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
            return
    writer.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
