"""The Responses format of OpenAI, as Codex speaks it."""

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
    ToolSpec,
    Usage,
)
from juggernaut.domain.limits import MODEL_SECONDS
from juggernaut.domain.model import Json

SYSTEM: Final = frozenset({"system", "developer"})
RESULTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
LENGTH: Final = {"reason": "max_output_tokens"}


class Responses:
    """POST /v1/responses."""

    @property
    def path(self) -> str:
        """Give the path that calls are posted to."""
        return "/v1/responses"

    def read(self, body: Json, notes: Notes) -> Call:
        """Read a request; raises InvalidInput."""
        system = [wire.content(body.get("instructions") or "", notes)]
        turns: list[Message] = []
        given = body.get("input")
        whole = [{"role": "user", "content": given}] if isinstance(given, str) else given
        for value in wire.items(whole, "input"):
            item = wire.mapping(value, "an item of the input")
            if item.get("role") in SYSTEM:
                system.append(wire.content(item.get("content"), notes))
            else:
                turns += _turn(item, notes)
        request = ModelRequest(
            purpose=wire.PURPOSE,
            system="\n\n".join(part for part in system if part),
            messages=wire.joined(turns),
            tools=tuple(_tools(body, notes)),
            max_tokens=wire.max_tokens(body.get("max_output_tokens")),
            timeout_seconds=MODEL_SECONDS,
        )
        return Call(request, body.get("stream") is True, str(body.get("model")))

    def whole(self, reply: ModelReply, call: Call) -> Json:
        """Give a reply as one value."""
        return _whole(reply, call, list(_output(reply)))

    def stream(self, reply: ModelReply, call: Call) -> Iterator[bytes]:
        """Give a reply as the events of a stream."""
        items = list(_output(reply))
        whole = _whole(reply, call, items)
        yield _event("response.created", response={**whole, "status": "in_progress", "output": []})
        for place, item in enumerate(items):
            yield _event("response.output_item.added", output_index=place, item=item)
            yield _event("response.output_item.done", output_index=place, item=item)
        yield _event(f"response.{whole['status']}", response=whole)

    def error(self, status: int, text: str) -> Json:
        """Give an error."""
        return {"error": {"message": text, "type": "error", "code": str(status)}}


def _whole(reply: ModelReply, call: Call, output: list[Json]) -> Json:
    """Give the whole response with its items."""
    cut = reply.stop is StopReason.LENGTH
    return {
        "id": f"resp_{uuid4().hex}",
        "object": "response",
        "created_at": 0,
        "status": "incomplete" if cut else "completed",
        "incomplete_details": LENGTH if cut else None,
        "model": call.model,
        "output": output,
        "usage": _usage(reply.usage),
    }


def _tools(body: Json, notes: Notes) -> Iterator[ToolSpec]:
    """Read the tools; what is no function with a schema is left out."""
    for value in wire.items(body.get("tools"), "tools"):
        tool = wire.mapping(value, "a tool")
        if tool.get("type") == "function":
            yield wire.spec(tool.get("name"), tool.get("description"), tool.get("parameters"))
        else:
            notes.dropped("a tool", tool.get("type"))


def _turn(item: Json, notes: Notes) -> Iterator[Message]:
    """Read one item that is no instruction."""
    kind = item.get("type", "message")
    if kind == "message":
        role = "assistant" if item.get("role") == "assistant" else "user"
        yield Message(role, wire.content(item.get("content"), notes))
    elif kind == "function_call":
        name = wire.text(item.get("name"), "the name of a tool call")
        where = wire.text(item.get("call_id"), "the id of a tool call")
        call = ToolCall(where, name, wire.arguments(item.get("arguments"), name))
        yield Message("assistant", tool_calls=(call,))
    elif kind in RESULTS:
        where = wire.text(item.get("call_id"), "the id of a tool result")
        said = wire.content(item.get("output") or "", notes)
        yield Message("user", tool_results=(ToolResult(where, said),))
    else:
        notes.dropped("an item", kind)


def _output(reply: ModelReply) -> Iterator[Json]:
    """Give the items of a reply."""
    if reply.text:
        block = {"type": "output_text", "text": reply.text, "annotations": []}
        yield {
            "type": "message",
            "id": f"msg_{uuid4().hex}",
            "role": "assistant",
            "status": "completed",
            "content": [block],
        }
    for one in reply.tool_calls:
        yield {
            "type": "function_call",
            "id": f"fc_{uuid4().hex}",
            "call_id": one.id,
            "name": one.name,
            "arguments": json.dumps(one.arguments),
            "status": "completed",
        }


def _usage(usage: Usage) -> Json:
    """Give the counts."""
    given = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": usage.cache_read_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + usage.output_tokens,
    }


def _event(kind: str, **values: object) -> bytes:
    """Give an event of a kind."""
    return wire.event({"type": kind, **values}, kind)
