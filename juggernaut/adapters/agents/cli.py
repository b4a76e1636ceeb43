"""A code agent that is a program: what every one of them has in common.

It runs in the sandbox, which gives it no network. Its model calls come back to this process
through a socket and go through the attempt's purse. What it prints is read as events. How it
ended is judged here, and its diff by git, never by its word.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from juggernaut.adapters.agents.endpoint import Endpoint
from juggernaut.adapters.agents.landing import land
from juggernaut.adapters.agents.place import Place, place_for
from juggernaut.adapters.agents.running import Launch, Running, Start, running
from juggernaut.adapters.agents.story import Story
from juggernaut.adapters.agents.wire import Format
from juggernaut.domain import limits
from juggernaut.domain.agents import Capabilities, OneEnd, Tell, silent
from juggernaut.domain.errors import BudgetExhausted, ConfigError
from juggernaut.domain.exchange import AgentRequest, AgentResult, CommandResult
from juggernaut.ports import Asker, Sandbox

KEY_BYTES: Final = 24
SILENT: Final = "The agent left no note."
OPEN: Final = (
    "the sandbox level is {level}: the agent had the network, and what files its account may use"
)
WALLED: Final = "bubblewrap"
SOCKETLESS: Final = "landlock"
NO_SOCKETS: Final = (
    "the code agent {name} cannot run at the sandbox level landlock, which has no sockets to reach"
    " its model by: install bubblewrap, or set JUGGERNAUT_AGENT to builtin"
)


class Cli(Protocol):
    """What differs from program to program."""

    @property
    def name(self) -> str:
        """Give the agent's name."""
        ...

    @property
    def program(self) -> str:
        """Give the name of its program on PATH."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """Give what it can do."""
        ...

    @property
    def form(self) -> Format:
        """Give the format that it speaks to a model."""
        ...

    def launch(self, start: Start) -> Launch:
        """Give how it is started."""
        ...

    async def follow(self, agent: Running, start: Start, story: Story, hear: Tell) -> None:
        """Take in what it tells, until its work is over."""
        ...


class CliAgent:
    """One program as a code agent."""

    def __init__(self, cli: Cli, scratch: Path, program: str | None = None) -> None:
        """Use the program at a path, else the one on PATH; `scratch` is for its HOMEs."""
        self._cli = cli
        self._scratch = scratch
        self._program = program or cli.program

    @property
    def name(self) -> str:
        """Give the name that stands in evidence and logs."""
        return self._cli.name

    @property
    def capabilities(self) -> Capabilities:
        """Give what it can do besides changing a tree."""
        return self._cli.capabilities

    async def execute(
        self, request: AgentRequest, ask: Asker, sandbox: Sandbox, tell: Tell = silent
    ) -> AgentResult:
        """Work until finished or at a bound; the model's errors are raised.

        So is that of a purse which cannot pay for the first turn.
        """
        hear = OneEnd(tell)
        try:
            result = await self._execute(request, ask, sandbox, hear)
            hear.end(result.reason)
            return result
        finally:
            hear.end("stopped")

    def found(self) -> str:
        """Give the path of the program; raises ConfigError when there is none."""
        path = shutil.which(self._program)
        if path is None:
            raise ConfigError(
                f"the code agent {self.name} needs the program {self._program!r}, which is not"
                " on PATH: install it, or set JUGGERNAUT_AGENT_PATH to it"
            )
        return str(Path(path).absolute())

    async def _execute(
        self, request: AgentRequest, ask: Asker, sandbox: Sandbox, hear: Tell
    ) -> AgentResult:
        """Run the program once; at a bound, ask for a note when it is dead."""
        if sandbox.level == SOCKETLESS:
            raise ConfigError(NO_SOCKETS.format(name=self.name))
        story, key = Story(session=request.session), secrets.token_urlsafe(KEY_BYTES)
        endpoint = Endpoint(self._cli.form, ask, key, request.max_turns)
        start = Start(self.found(), request, _said(request), key, sandbox.level)
        launch = self._cli.launch(start)
        tree = await asyncio.to_thread(Path(request.worktree).resolve)
        async with (
            place_for(self._scratch, request.worktree) as place,
            await _open(endpoint, place),
            running(place, launch, sandbox, tree, request.timeout_seconds) as agent,
        ):
            try:
                work = self._listen(agent, start, story, hear)
                ended = await _until(endpoint, work)
            finally:
                await endpoint.close()
        if sandbox.level != WALLED:
            endpoint.notes.said.insert(0, OPEN.format(level=sandbox.level))
        result = _judged(request, story, endpoint, ended)
        if result.handoff is None or not endpoint.turns:
            return result
        note = await land(ask, result.reason, request.prompt, endpoint.heard)
        return replace(result, handoff=note or result.handoff)

    async def _listen(
        self, agent: Running, start: Start, story: Story, hear: Tell
    ) -> CommandResult | None:
        """Follow the program to its end; None for a server that had to be ended."""
        await self._cli.follow(agent, start, story, hear)
        return await agent.ended if story.ends == [] or not agent.serves else None


async def _until(
    endpoint: Endpoint, work: Coroutine[None, None, CommandResult | None]
) -> CommandResult | None:
    """Wait until the program has ended, or a while after its calls were refused."""
    task = asyncio.create_task(work)
    refused = asyncio.create_task(endpoint.stopped.wait())
    try:
        await asyncio.wait({task, refused}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait({task}, timeout=limits.AGENT_END_SECONDS)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        refused.cancel()
        await asyncio.wait({task, refused})


async def _open(endpoint: Endpoint, place: Place) -> asyncio.Server:
    """Open the endpoint at the socket that leads into the sandbox."""
    return await asyncio.start_unix_server(endpoint.accept, sock=place.doors.listen("model.sock"))


def _said(request: AgentRequest) -> str:
    """Give the whole input; an argument would be too short for it, and could be seen."""
    parts = [request.system, request.prompt]
    if request.test_argv is not None:
        parts.append(f"The project's tests: run with argv {json.dumps(request.test_argv)}")
    return "\n\n".join(parts)


def _judged(
    request: AgentRequest, story: Story, endpoint: Endpoint, ended: CommandResult | None
) -> AgentResult:
    """Say how the run ended; raises the model's error."""
    failure = endpoint.failure
    if failure is not None and not (isinstance(failure, BudgetExhausted) and endpoint.turns):
        raise failure
    bound = "the purse cannot pay for the next call" if failure is not None else endpoint.bound
    bound = bound or story.bound
    if bound is None and ended is not None and ended.timed_out:
        bound = f"out of time after {request.timeout_seconds:g} s"
    code, output = (ended.exit_code, ended.output) if ended else (0, "")
    reason = bound or story.problem(code, output) or "finished"
    return AgentResult(
        finished=reason == "finished",
        summary=story.ends[0].text if len(story.ends) == 1 else story.said,
        turns=endpoint.turns,
        tool_uses=story.tool_uses,
        reason=reason,
        handoff=(story.said or SILENT) if bound else None,
        purse=str(failure) if failure is not None else None,
        session=story.session,
        notes=tuple(endpoint.notes.said),
    )
