"""The Messages format of Anthropic, as Claude Code speaks it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final
from uuid import uuid4

from juggernaut.adapters.agents import wire
from juggernaut.adapters.agents.wire import Call, Notes
from juggernaut.domain.exchange import (
    Message,
    ModelReply,
    ModelRequest,
    StopReason,
    ToolCall,
    ToolResult,
    Usage,
)
from juggernaut.domain.limits import MODEL_SECONDS
from juggernaut.domain.model import Json

STOPS: Final = {
    StopReason.END: "end_turn",
    StopReason.TOOL: "tool_use",
    StopReason.LENGTH: "max_tokens",
}
KINDS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    529: "overloaded_error",
}


class Messages:
    """POST /v1/messages."""

    @property
    def path(self) -> str:
        """Give the path that calls are posted to."""
        return "/v1/messages"

    def read(self, body: Json, notes: Notes) -> Call:
        """Read a request; raises InvalidInput."""
        tools = []
        for item in wire.items(body.get("tools"), "tools"):
            tool = wire.mapping(item, "a tool")
            if "input_schema" in tool:
                tools.append(
                    wire.spec(tool.get("name"), tool.get("description"), tool["input_schema"])
                )
            else:
                notes.dropped("a tool", tool.get("type"))
        choice = body.get("tool_choice")
        wanted = choice.get("name") if isinstance(choice, dict) else None
        turns = (_message(item, notes) for item in wire.items(body.get("messages"), "messages"))
        request = ModelRequest(
            purpose=wire.PURPOSE,
            system=wire.content(body.get("system") or "", notes),
            messages=wire.joined(turns),
            tools=tuple(tools),
            force_tool=wire.forced(wanted, tools),
            max_tokens=wire.max_tokens(body.get("max_tokens")),
            timeout_seconds=MODEL_SECONDS,
        )
        return Call(request, body.get("stream") is True, str(body.get("model")))

    def whole(self, reply: ModelReply, call: Call) -> Json:
        """Give a reply as one value."""
        blocks: list[Json] = [{"type": "text", "text": reply.text}] if reply.text else []
        blocks += [_tool_use(one, one.arguments) for one in reply.tool_calls]
        return {
            **_head(call),
            "content": blocks,
            "stop_reason": STOPS[reply.stop],
            "usage": _usage(reply.usage),
        }

    def stream(self, reply: ModelReply, call: Call) -> Iterator[bytes]:
        """Give a reply as the events of a stream."""
        usage = _usage(reply.usage)
        start = {**_head(call), "content": [], "stop_reason": None, "usage": usage}
        yield _event("message_start", message=start)
        place = 0
        if reply.text:
            yield from _block(
                place, {"type": "text", "text": ""}, {"type": "text_delta", "text": reply.text}
            )
            place += 1
        for one in reply.tool_calls:
            given = json.dumps(one.arguments)
            delta = {"type": "input_json_delta", "partial_json": given}
            yield from _block(place, _tool_use(one, {}), delta)
            place += 1
        end = {"stop_reason": STOPS[reply.stop], "stop_sequence": None}
        yield _event("message_delta", delta=end, usage=usage)
        yield _event("message_stop")

    def error(self, status: int, text: str) -> Json:
        """Give an error."""
        return {
            "type": "error",
            "error": {"type": KINDS.get(status, "api_error"), "message": text},
        }


def _message(item: object, notes: Notes) -> Message:
    """Read one turn."""
    turn = wire.mapping(item, "a message")
    role = "assistant" if turn.get("role") == "assistant" else "user"
    body = turn.get("content")
    if isinstance(body, str):
        return Message(role, body)
    texts: list[str] = []
    calls: list[ToolCall] = []
    results: list[ToolResult] = []
    for part in wire.items(body, "content"):
        block = wire.mapping(part, "a block of content")
        match block.get("type"):
            case "text":
                texts.append(wire.text(block.get("text"), "the text of a block"))
            case "tool_use":
                calls.append(_call(block))
            case "tool_result":
                said = wire.content(block.get("content") or "", notes)
                failed = block.get("is_error") is True
                where = wire.text(block.get("tool_use_id"), "the id of a tool result")
                results.append(ToolResult(where, said, failed))
            case other:
                notes.dropped("content", other)
    return Message(role, "\n".join(texts), tuple(calls), tuple(results))


def _call(block: Json) -> ToolCall:
    """Read an earlier tool call."""
    return ToolCall(
        wire.text(block.get("id"), "the id of a tool call"),
        wire.text(block.get("name"), "the name of a tool call"),
        wire.mapping(block.get("input") or {}, "the input of a tool call"),
    )


def _head(call: Call) -> Json:
    """Give what every reply begins with."""
    return {
        "id": f"msg_{uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "stop_sequence": None,
    }


def _tool_use(one: ToolCall, given: Json) -> Json:
    """Give a tool call."""
    return {"type": "tool_use", "id": one.id, "name": one.name, "input": dict(given)}


def _usage(usage: Usage) -> Json:
    """Give the counts."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
    }


def _block(place: int, start: Json, delta: Json) -> Iterator[bytes]:
    """Give one block as three events."""
    yield _event("content_block_start", index=place, content_block=start)
    yield _event("content_block_delta", index=place, delta=delta)
    yield _event("content_block_stop", index=place)


def _event(kind: str, **values: object) -> bytes:
    """Give an event of a kind."""
    return wire.event({"type": kind, **values}, kind)
