"""Claude Code: one process a run, one line of JSON a message.

Believed is exactly one result that is no error, with exit code 0 and nothing denied. Most of its
failures are called success: a result says so only in is_error, and an interrupt ends with 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from juggernaut.adapters.agents.running import Launch, Running, Start
from juggernaut.adapters.agents.story import Story, inner, many, read_line, word
from juggernaut.adapters.agents.wire import Format
from juggernaut.adapters.agents.wire_messages import Messages
from juggernaut.domain.agents import AgentEvent, Capabilities, EventKind, Tell
from juggernaut.domain.model import Json

# What works without a network, a person and a second agent; the rest only costs tokens.
TOOLS: Final = "Bash,Edit,Write,Read,Glob,Grep,NotebookEdit"
# Edits are not in here: acceptEdits allows them inside the work tree only.
ALLOWED: Final = "Bash,Read,Glob,Grep"
SUCCESS: Final = "success"
OUT_OF_TURNS: Final = "error_max_turns"
# Nothing of this reaches a network: there is none. It saves the time of trying.
QUIET: Final = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "CLAUDE_CODE_MAX_RETRIES": "0",
    "API_TIMEOUT_MS": "3600000",
}


class ClaudeCode:
    """How Claude Code is started and read."""

    name: Final = "claude-code"
    program: Final = "claude"
    capabilities: Final = Capabilities(
        resume=True, permissions=True, turn_limit=True, prompt="coder-cli"
    )

    @property
    def form(self) -> Format:
        """Give the format that it speaks to a model."""
        return Messages()

    def launch(self, start: Start) -> Launch:
        """Start it without the settings of the repository, which are hostile."""
        request = start.request
        resumed = ("--resume", request.session) if request.session else ()
        return Launch(
            argv=(
                *(start.program, "-p", "--output-format", "stream-json", "--verbose"),
                *("--permission-mode", "acceptEdits", "--setting-sources", "user"),
                *("--strict-mcp-config", "--max-turns", str(request.max_turns)),
                *("--model", "juggernaut", *resumed),
                *("--tools", TOOLS, "--allowedTools", ALLOWED),
            ),
            said=start.said,
            env={
                **QUIET,
                "ANTHROPIC_BASE_URL": "http://127.0.0.1:@MODEL@",
                "ANTHROPIC_API_KEY": start.key,
            },
        )

    async def follow(self, agent: Running, start: Start, story: Story, hear: Tell) -> None:
        """Read what it prints."""
        await agent.read(self.parse, story, hear)

    def parse(self, line: bytes, story: Story) -> Iterator[AgentEvent]:
        """Read one line; kinds that are not known are none of our business."""
        message = read_line(line, story)
        if message is None:
            return
        match message.get("type"), message.get("subtype"):
            case "system", "init":
                story.session = word(message.get("session_id")) or story.session
                yield AgentEvent(EventKind.STARTED, story.session or "")
            case "system", "api_retry":
                yield AgentEvent(EventKind.RETRY, str(message.get("error_status")), ok=False)
            case "assistant" | "user", _:
                for block in many(inner(message.get("message")).get("content")):
                    yield from _block(block, story)
            case "result", subtype:
                yield from _result(message, word(subtype), story)


def _block(block: Json, story: Story) -> Iterator[AgentEvent]:
    """Read one block of a message."""
    match block.get("type"):
        case "text":
            yield story.text(word(block.get("text")))
        case "tool_use":
            yield story.tool(word(block.get("name")), word(block.get("id")))
        case "tool_result":
            ok = block.get("is_error") is not True
            yield story.result(word(block.get("tool_use_id")), ok=ok)


def _result(message: Json, subtype: str, story: Story) -> Iterator[AgentEvent]:
    """Read a terminal word."""
    for denial in many(message.get("permission_denials")):
        yield story.refused(word(denial.get("tool_name")) or "a tool")
    said = word(message.get("result")) or "; ".join(
        item for item in _texts(message.get("errors")) if item
    )
    if subtype == OUT_OF_TURNS:
        story.bound = f"out of turns after {message.get('num_turns')}"
    good = message.get("is_error") is False and subtype == SUCCESS
    text = said if good else ": ".join(part for part in (subtype, said) if part)
    story.ended(text, ok=good)
    story.session = word(message.get("session_id")) or story.session


def _texts(value: object) -> list[str]:
    """Give the strings of a list."""
    return [word(item) for item in value] if isinstance(value, list) else []
