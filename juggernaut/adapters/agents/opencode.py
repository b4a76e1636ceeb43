"""OpenCode: `opencode serve`, driven over HTTP; its events come as a stream.

It asks before it edits or runs something, and is answered here. Tools that need a network, a
person or a second agent are not offered to the model at all. A failure of the provider is an
event of the session, whatever the status of the answer was.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import h11

from juggernaut.adapters.agents.http1 import Broken, Wire
from juggernaut.adapters.agents.lines import Lines
from juggernaut.adapters.agents.running import Launch, Running, Start
from juggernaut.adapters.agents.story import Story, inner, read_line, word
from juggernaut.adapters.agents.wire import Format
from juggernaut.adapters.agents.wire_chat import Chat
from juggernaut.domain import limits
from juggernaut.domain.agents import AgentEvent, Capabilities, EventKind, Tell
from juggernaut.domain.model import Json

WALLED: Final = "bubblewrap"
MODEL: Final = {"providerID": "juggernaut", "modelID": "juggernaut"}
LISTENING: Final = b"listening on"
USER: Final = "opencode"
DATA: Final = b"data:"
GOOD: Final = range(200, 300)
ASKED: Final = ("edit", "bash", "external_directory", "doom_loop")
CLOSED: Final = ("webfetch", "websearch", "task", "question", "skill")
CONFIG: Final = {
    "autoupdate": False,
    "share": "disabled",
    "model": "juggernaut/juggernaut",
    "small_model": "juggernaut/juggernaut",
    "permission": {**dict.fromkeys(ASKED, "ask"), **dict.fromkeys(CLOSED, "deny")},
    "tools": dict.fromkeys(CLOSED, False),
}
REFUSAL: Final = "not allowed here; do it another way, inside the work tree"


class OpenCode:
    """How OpenCode is started, driven and read."""

    name: Final = "opencode"
    program: Final = "opencode"
    capabilities: Final = Capabilities(resume=True, permissions=True, prompt="coder-cli")

    @property
    def form(self) -> Format:
        """Give the format that it speaks to a model."""
        return Chat()

    def launch(self, start: Start) -> Launch:
        """Start its server; the settings of ours go above those of the repository."""
        options = {
            "baseURL": "http://127.0.0.1:@MODEL@/v1",
            "apiKey": start.key,
            "timeout": False,
        }
        provider = {
            "npm": "@ai-sdk/openai-compatible",
            "options": options,
            "models": {"juggernaut": {}},
        }
        config = {**CONFIG, "provider": {"juggernaut": provider}}
        return Launch(
            argv=(start.program, "serve", "--port", "@PORT@", "--hostname", "127.0.0.1"),
            env={
                "OPENCODE_CONFIG_CONTENT": json.dumps(config),
                "OPENCODE_DISABLE_MODELS_FETCH": "1",
                "OPENCODE_DISABLE_AUTOUPDATE": "1",
                "OPENCODE_SERVER_PASSWORD": start.key,
            },
            serves=True,
        )

    async def follow(self, agent: Running, start: Start, story: Story, hear: Tell) -> None:
        """Wait for the server, give it the work, and answer it until its session is idle."""
        ready = asyncio.Event()
        drain = asyncio.create_task(_drain(agent, ready, story))
        try:
            await ready.wait()
            with suppress(Broken):  # it is gone: how it ended says why
                await _drive(Server(agent, start.key), start, story, hear)
        finally:
            drain.cancel()
            await asyncio.wait({drain})

    def parse(self, line: bytes, story: Story) -> Iterator[AgentEvent]:
        """Read one event; kinds that are not known are none of our business."""
        event = read_line(line, story)
        if event is None:
            return
        facts = inner(event.get("properties"))
        ours = facts.get("sessionID") == story.session
        match event.get("type"):
            case "message.part.updated":
                yield from _part(inner(facts.get("part")), story)
            case "session.status":
                status = inner(facts.get("status"))
                if status.get("type") == "retry":
                    yield AgentEvent(EventKind.RETRY, word(status.get("message")), ok=False)
            case "session.error" if ours or "sessionID" not in facts:
                error = inner(facts.get("error"))
                said = word(inner(error.get("data")).get("message"))
                story.ended(f"{word(error.get('name'))}: {said}", ok=False)
            case "session.idle" if ours and not story.ends:
                story.ended(story.said, ok=True)


class Server:
    """The agent's server, one request a connection."""

    def __init__(self, agent: Running, key: str) -> None:
        """Speak to the server of a run, which knows its key."""
        token = base64.b64encode(f"{USER}:{key}".encode()).decode()
        self._agent = agent
        self._headers = {
            "host": "127.0.0.1",
            "authorization": f"Basic {token}",
            "content-type": "application/json",
        }

    async def post(self, path: str, value: Json) -> Json:
        """Post; gives the answer. Raises Broken for every status that is no success."""
        wire = Wire(h11.CLIENT, *await self._agent.connect())
        try:
            status = await wire.ask("POST", path, self._headers, json.dumps(value).encode())
            body = b"".join([part async for part in wire.body(limits.AGENT_REQUEST_BYTES)])
        finally:
            wire.close()
        if status not in GOOD:
            raise Broken(f"OpenCode answered {status} to {path}")
        with suppress(ValueError, RecursionError):
            return inner(json.loads(body))
        return {}

    async def events(self, opened: asyncio.Event) -> AsyncIterator[bytes]:
        """Give the data of each event of the server's stream."""
        wire = Wire(h11.CLIENT, *await self._agent.connect())
        split = Lines(limits.AGENT_LINE_BYTES)
        try:
            await wire.ask("GET", "/event", self._headers, b"")
            async for part in wire.body(math.inf):
                opened.set()
                for line in split.feed(part):
                    if line.startswith(DATA):
                        yield line.removeprefix(DATA)
        finally:
            wire.close()


async def _drain(agent: Running, ready: asyncio.Event, story: Story) -> None:
    """Read what the server prints, until it says that it listens, and on until it ends."""
    async for line in agent.lines():
        story.plain = line[: limits.EXCERPT_CHARS].decode(errors="replace")
        if LISTENING in line:
            ready.set()
    ready.set()


async def _drive(server: Server, start: Start, story: Story, hear: Tell) -> None:
    """Begin a session, or go on in one, and answer what it asks."""
    opened = asyncio.Event()
    work: asyncio.Task[None] | None = None
    agent = OpenCode()
    try:
        async for line in server.events(opened):
            if work is None:
                work = asyncio.create_task(_begin(server, start, story))
            if work.done() and work.exception() is not None:
                story.ended(str(work.exception()), ok=False)
            for event in agent.parse(line, story):
                hear(event)
            await _answer(server, line, start, story, hear)
            if story.ends:
                return
    finally:
        if work is not None:
            work.cancel()
            await asyncio.wait({work})


async def _begin(server: Server, start: Start, story: Story) -> None:
    """Give a session its prompt."""
    session = start.request.session
    if session is None:
        session = word((await server.post("/session", {"title": "task"})).get("id"))
    story.session = session
    said = {"model": MODEL, "parts": [{"type": "text", "text": start.said}]}
    await server.post(f"/session/{session}/prompt_async", said)


async def _answer(server: Server, line: bytes, start: Start, story: Story, hear: Tell) -> None:
    """Answer a request for permission."""
    event = inner(json.loads(line)) if b"permission.asked" in line else {}
    if event.get("type") != "permission.asked":
        return
    facts = inner(event.get("properties"))
    allowed = may(facts, Path(start.request.worktree), walled=start.level == WALLED)
    if not allowed:
        hear(story.refused(word(facts.get("permission")) or "something"))
    answer = {"reply": "once"} if allowed else {"reply": "reject", "message": REFUSAL}
    await server.post(f"/permission/{word(facts.get('id'))}/reply", answer)


def may(facts: Json, tree: Path, *, walled: bool) -> bool:
    """Say whether something may be done: commands, and edits inside the work tree.

    A command may look at what lies outside where walls keep it from more than looking.
    """
    kind = facts.get("permission")
    if kind != "edit":
        return kind == "bash" or (kind == "external_directory" and walled)
    name = inner(facts.get("metadata")).get("filepath")
    # A patch of several files names none; what lies outside is asked for by itself.
    return not isinstance(name, str) or (tree / name).resolve().is_relative_to(tree.resolve())


def _part(part: Json, story: Story) -> Iterator[AgentEvent]:
    """Read a part of a message that has changed."""
    state, place = inner(part.get("state")), word(part.get("callID"))
    if part.get("type") == "text" and "end" in inner(part.get("time")):
        yield story.text(word(part.get("text")))
    elif part.get("type") == "tool":
        if place not in story.names:
            yield story.tool(word(part.get("tool")), place)
        if state.get("status") in {"completed", "error"}:
            yield story.result(place, ok=state["status"] == "completed")
