"""Codex: `codex exec --json`, one line of JSON an event.

An item of type error is a notice and not a failure; a run is done when its turn completed. Inside
bubblewrap its own sandbox is off, because the walls are there already; elsewhere it is on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from juggernaut.adapters.agents.running import Launch, Running, Start
from juggernaut.adapters.agents.story import Story, inner, read_line, word
from juggernaut.adapters.agents.wire import Format
from juggernaut.adapters.agents.wire_responses import Responses
from juggernaut.domain.agents import AgentEvent, Capabilities, EventKind, Tell
from juggernaut.domain.model import Json

WALLED: Final = "bubblewrap"
TOOLS: Final = frozenset({"command_execution", "file_change", "mcp_tool_call"})
KEY: Final = "JUGGERNAUT_RUN_KEY"
CONFIG: Final = f"""\
model = "juggernaut"
model_provider = "juggernaut"
web_search = "disabled"
check_for_update_on_startup = false

[model_providers.juggernaut]
name = "juggernaut"
base_url = "http://127.0.0.1:@MODEL@/v1"
env_key = "{KEY}"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
stream_idle_timeout_ms = 3600000

[analytics]
enabled = false
"""


class Codex:
    """How Codex is started and read."""

    name: Final = "codex"
    program: Final = "codex"
    capabilities: Final = Capabilities(resume=True, prompt="coder-cli")

    @property
    def form(self) -> Format:
        """Give the format that it speaks to a model."""
        return Responses()

    def launch(self, start: Start) -> Launch:
        """Start it, without looking for a git folder, which is not in the tree."""
        mode = "danger-full-access" if start.level == WALLED else "workspace-write"
        session = start.request.session
        words = ["exec", "--json", "--skip-git-repo-check", "-s", mode]
        words += ["resume", session, "-"] if session else ["-"]
        return Launch(
            argv=(start.program, *words),
            said=start.said,
            env={KEY: start.key},
            files={".codex/config.toml": CONFIG},
        )

    async def follow(self, agent: Running, start: Start, story: Story, hear: Tell) -> None:
        """Read what it prints."""
        await agent.read(self.parse, story, hear)

    def parse(self, line: bytes, story: Story) -> Iterator[AgentEvent]:
        """Read one line; kinds that are not known are none of our business."""
        event = read_line(line, story)
        if event is None:
            return
        item = inner(event.get("item"))
        match event.get("type"):
            case "thread.started":
                story.session = word(event.get("thread_id")) or story.session
                yield AgentEvent(EventKind.STARTED, story.session or "")
            case "item.started":
                if item.get("type") in TOOLS:
                    yield story.tool(word(item.get("type")), word(item.get("id")))
            case "item.completed":
                yield from _item(item, story)
            case "error":
                yield AgentEvent(EventKind.RETRY, word(event.get("message")), ok=False)
            case "turn.completed":
                story.ended(story.said, ok=True)
            case "turn.failed":
                story.ended(word(inner(event.get("error")).get("message")), ok=False)


def _item(item: Json, story: Story) -> Iterator[AgentEvent]:
    """Read an item that is complete."""
    kind = item.get("type")
    if kind == "agent_message":
        yield story.text(word(item.get("text")))
    elif kind == "error":
        yield AgentEvent(EventKind.NOTE, word(item.get("message")))
    elif kind in TOOLS:
        place = word(item.get("id"))
        if place not in story.names:  # a short one is not started first
            yield story.tool(word(kind), place)
        yield story.result(place, ok=item.get("status") == "completed")
