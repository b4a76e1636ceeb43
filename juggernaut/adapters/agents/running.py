"""Runs a code agent in the sandbox, without a network: start, listen, end.

The sandbox's own rules hold: built environment, limits, and no process of it is alive when the
run is over. The agent reaches the daemon through sockets in its sandbox (see juggernaut/relay).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from juggernaut.adapters.agents.http1 import Broken
from juggernaut.adapters.agents.lines import Lines
from juggernaut.adapters.agents.place import Place
from juggernaut.adapters.agents.story import Story
from juggernaut.domain import limits
from juggernaut.domain.agents import AgentEvent, Tell
from juggernaut.domain.exchange import AgentRequest, CommandResult
from juggernaut.ports import Sandbox
from juggernaut.relay.doors import NO_PROXY_VARIABLES, PROXY_VARIABLES, Order

Parse = Callable[[bytes, Story], Iterator[AgentEvent]]
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CHUNK_BYTES: Final = 65_536
KEPT: Final = ("PATH", *PROXY_VARIABLES, *NO_PROXY_VARIABLES)


@dataclass(frozen=True, slots=True)
class Start:
    """What a run is about: `said` is its whole input, `level` the strength of the sandbox."""

    program: str
    request: AgentRequest
    said: str
    key: str
    level: str


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start. @MODEL@ and @PORT@ become the ports of the model and of a server of its own.

    `files` are written below HOME; `said` is the input, `serves` says that it is a server.
    """

    argv: tuple[str, ...]
    said: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    serves: bool = False


class Running:
    """An agent that runs: its lines, its server, its end."""

    def __init__(self, ended: asyncio.Task[CommandResult], *, serves: bool) -> None:
        """Begin with nothing heard."""
        self.ended = ended
        self.serves = serves
        self._printed: asyncio.Queue[Stream] = asyncio.Queue()
        self._idle: asyncio.Queue[Stream] = asyncio.Queue()
        self._open: list[asyncio.StreamWriter] = []

    async def printed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the connection that carries what the agent prints."""
        self._open.append(writer)
        await self._printed.put((reader, writer))

    async def reached(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take an idle connection into the agent's server."""
        self._open.append(writer)
        await self._idle.put((reader, writer))

    async def lines(self) -> AsyncIterator[bytes]:
        """Give the lines that the agent prints, until its output ends or it is dead."""
        first = asyncio.create_task(self._printed.get())
        await asyncio.wait({first, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            first.cancel()
            return
        split = Lines(limits.AGENT_LINE_BYTES)
        with suppress(OSError):
            while chunk := await first.result()[0].read(CHUNK_BYTES):
                for line in split.feed(chunk):
                    yield line
        for line in split.rest():
            yield line

    async def read(self, parse: Parse, story: Story, hear: Tell) -> None:
        """Read every line that the agent prints."""
        async for line in self.lines():
            for event in parse(line, story):
                hear(event)

    async def connect(self) -> Stream:
        """Give a connection into the agent's server; raises Broken when there is no agent."""
        idle = asyncio.create_task(self._idle.get())
        try:
            await asyncio.wait({idle, self.ended}, return_when=asyncio.FIRST_COMPLETED)
            if not idle.done():
                raise Broken("the agent has ended")
            return idle.result()
        finally:
            idle.cancel()

    def close(self) -> None:
        """Let go of every connection."""
        for writer in self._open:
            writer.close()


@asynccontextmanager
async def running(
    place: Place, launch: Launch, sandbox: Sandbox, worktree: Path, seconds: float
) -> AsyncIterator[Running]:
    """Start an agent; it is dead when the block is left, however that happens.

    `worktree` must be absolute.
    """
    order = Order(
        argv=launch.argv,
        cwd=str(worktree),
        env={
            **{"LANG": "C.UTF-8", "HOME": str(place.home), "TMPDIR": str(place.home / "tmp")},
            **launch.env,
        },
        doors={"@MODEL@": "model.sock"},
        keeps=KEPT,
        said="said.txt",
        files={str(place.home / name): text for name, text in launch.files.items()},
        tells=True,
        serves=launch.serves,
    )
    place.doors.write("said.txt", launch.said)
    argv = await asyncio.to_thread(place.doors.order, order)
    work = sandbox.run(
        argv,
        worktree,
        timeout_seconds=seconds,
        writable=[place.home, place.doors.folder],
        memory_bytes=limits.AGENT_MEMORY_BYTES,
    )
    events, reach = place.doors.listen("events.sock"), place.doors.listen("reach.sock")
    ended = asyncio.create_task(work)
    agent = Running(ended, serves=launch.serves)
    async with (
        await asyncio.start_unix_server(agent.printed, sock=events),
        await asyncio.start_unix_server(agent.reached, sock=reach),
    ):
        try:
            yield agent
        finally:
            ended.cancel()
            await asyncio.wait({ended})
            agent.close()
