"""What the wire formats of model providers have in common, as an agent speaks them to us.

An agent is hostile: what it sends is read like any text from outside. What a ModelRequest cannot
carry (images, thinking, a provider's own tools) is dropped, and noted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from juggernaut.adapters.agents.http1 import Answer
from juggernaut.domain import limits
from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.exchange import Message, ModelReply, ModelRequest, ToolResult, ToolSpec
from juggernaut.domain.model import Json

PURPOSE: Final = "code"
KIND_CHARS: Final = 40
NAME_CHARS: Final = 64
TEXTS: Final = frozenset({"text", "input_text", "output_text"})
EVENT_STREAM: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Call:
    """One model call of an agent: `model` is the name that it gave, which decides nothing."""

    request: ModelRequest
    stream: bool
    model: str


@dataclass(slots=True)
class Notes:
    """What was dropped, once each, bounded."""

    said: list[str] = field(default_factory=list)

    def dropped(self, what: str, kind: object) -> None:
        """Note a kind of thing that was left out of requests."""
        line = f"left out of model calls: {what} of type {str(kind)[:KIND_CHARS]!r}"
        if line not in self.said and len(self.said) < limits.AGENT_NOTES:
            self.said.append(line)


class Format(Protocol):
    """A provider's format: its path below the base address, and both directions."""

    @property
    def path(self) -> str:
        """Give the path that calls are posted to."""
        ...

    def read(self, body: Json, notes: Notes) -> Call:
        """Read a request; raises InvalidInput."""
        ...

    def whole(self, reply: ModelReply, call: Call) -> Json:
        """Give a reply as one value."""
        ...

    def stream(self, reply: ModelReply, call: Call) -> Iterator[bytes]:
        """Give a reply as the events of a stream."""
        ...

    def error(self, status: int, text: str) -> Json:
        """Give an error."""
        ...


def read_body(body: bytes) -> Json:
    """Parse a request's body; raises InvalidInput."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidInput("the body is not valid JSON") from None
    return mapping(value, "the body")


def mapping(value: object, what: str) -> Mapping[str, object]:
    """Give a JSON object that must be one."""
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} must be a JSON object, not {type(value).__name__}")
    return value


def items(value: object, what: str) -> list[object]:
    """Give a JSON list that must be one; nothing is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidInput(f"{what} must be a list, not {type(value).__name__}")
    return value


def text(value: object, what: str) -> str:
    """Give a string that must be one."""
    if not isinstance(value, str):
        raise InvalidInput(f"{what} must be a string, not {type(value).__name__}")
    return value


def content(value: object, notes: Notes) -> str:
    """Give the text of a message's content: a string, or a list of blocks."""
    if isinstance(value, str):
        return value
    texts: list[str] = []
    for item in items(value, "content"):
        block = mapping(item, "a block of content")
        if block.get("type") in TEXTS:
            texts.append(text(block.get("text"), "the text of a block"))
        else:
            notes.dropped("content", block.get("type"))
    return "\n".join(texts)


def spec(name: object, description: object, schema: object) -> ToolSpec:
    """Read a tool."""
    given = text(name, "the name of a tool")
    if not 0 < len(given) <= NAME_CHARS:
        raise InvalidInput(f"the name of a tool has {len(given)} characters")
    shape = mapping(schema if schema is not None else {}, f"the schema of {given}")
    return ToolSpec(given, description if isinstance(description, str) else "", shape)


def arguments(raw: object, name: str) -> Json:
    """Read the arguments of an earlier tool call, which are JSON in a text."""
    try:
        value = json.loads(text(raw, f"the arguments of {name}") or "{}")
    except (ValueError, RecursionError):
        return {"unreadable": str(raw)[: limits.EXCERPT_CHARS]}
    return value if isinstance(value, dict) else {"value": value}


def joined(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Put neighbours of one role together, so that calls and results stay paired.

    What a user says comes after the results, whatever the order of the items was.
    """
    out: list[Message] = []
    for message in messages:
        last = out[-1] if out else None
        if last is None or last.role != message.role:
            out.append(message)
            continue
        said = "\n\n".join(part for part in (last.text, message.text) if part)
        calls = (*last.tool_calls, *message.tool_calls)
        results = (*last.tool_results, *message.tool_results)
        out[-1] = Message(message.role, said, calls, results)
    return tuple(_paired(out))


def _paired(messages: list[Message]) -> Iterator[Message]:
    """Give every call its result, also those whose result the agent has lost."""
    for place, message in enumerate(messages):
        before = messages[place - 1] if place else None
        asked = [call.id for call in before.tool_calls] if before else []
        given = {result.call_id: result for result in message.tool_results}
        if message.role != "user" or (not asked and not given):
            yield message
            continue
        results = [given.get(one) or ToolResult(one, "(no result)", True) for one in asked]
        yield Message("user", message.text, tool_results=tuple(results))


def max_tokens(value: object) -> int:
    """Give how long the answer may be: what was asked for, at most our own bound."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        return limits.REPLY_TOKENS
    return min(value, limits.REPLY_TOKENS)


def forced(name: object, tools: Iterable[ToolSpec]) -> str | None:
    """Give the tool that must be called, if there is such a tool."""
    return name if isinstance(name, str) and any(tool.name == name for tool in tools) else None


def event(value: Json, name: str | None = None) -> bytes:
    """Give one server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value)}\n\n".encode()


def answer(form: Format, reply: ModelReply, call: Call) -> Answer:
    """Give a reply as the agent wants it."""
    if call.stream:
        return Answer(200, form.stream(reply, call), EVENT_STREAM)
    return Answer(200, (json.dumps(form.whole(reply, call)).encode(),))
