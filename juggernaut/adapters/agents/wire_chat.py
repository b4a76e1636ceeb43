"""The Chat Completions format of OpenAI, as OpenCode speaks it."""

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
    StopReason.END: "stop",
    StopReason.TOOL: "tool_calls",
    StopReason.LENGTH: "length",
}
SYSTEM: Final = frozenset({"system", "developer"})
DONE: Final = b"data: [DONE]\n\n"


class Chat:
    """POST /v1/chat/completions."""

    @property
    def path(self) -> str:
        """Give the path that calls are posted to."""
        return "/v1/chat/completions"

    def read(self, body: Json, notes: Notes) -> Call:
        """Read a request; raises InvalidInput."""
        given = wire.items(body.get("messages"), "messages")
        turns = [wire.mapping(item, "a message") for item in given]
        tools = []
        for item in wire.items(body.get("tools"), "tools"):
            tool = wire.mapping(item, "a tool")
            if tool.get("type") == "function":
                inner = wire.mapping(tool.get("function"), "the function of a tool")
                tools.append(
                    wire.spec(inner.get("name"), inner.get("description"), inner.get("parameters"))
                )
            else:
                notes.dropped("a tool", tool.get("type"))
        system = [wire.content(t.get("content"), notes) for t in turns if t.get("role") in SYSTEM]
        said = (_message(turn, notes) for turn in turns if turn.get("role") not in SYSTEM)
        request = ModelRequest(
            purpose=wire.PURPOSE,
            system="\n\n".join(system),
            messages=wire.joined(said),
            tools=tuple(tools),
            max_tokens=wire.max_tokens(body.get("max_completion_tokens") or body.get("max_tokens")),
            timeout_seconds=MODEL_SECONDS,
        )
        return Call(request, body.get("stream") is True, str(body.get("model")))

    def whole(self, reply: ModelReply, call: Call) -> Json:
        """Give a reply as one value."""
        message = {"role": "assistant", "content": reply.text, **_calls(reply)}
        choice = {"index": 0, "message": message, "finish_reason": STOPS[reply.stop]}
        return {
            **_head(call, "chat.completion"),
            "choices": [choice],
            "usage": _usage(reply.usage),
        }

    def stream(self, reply: ModelReply, call: Call) -> Iterator[bytes]:
        """Give a reply as the events of a stream."""
        head = _head(call, "chat.completion.chunk")

        def chunk(delta: Json, end: str | None = None) -> bytes:
            """Give one chunk."""
            choice = {"index": 0, "delta": delta, "finish_reason": end}
            return wire.event({**head, "choices": [choice]})

        yield chunk({"role": "assistant", "content": reply.text})
        if reply.tool_calls:
            yield chunk(_calls(reply))
        yield chunk({}, STOPS[reply.stop])
        yield wire.event({**head, "choices": [], "usage": _usage(reply.usage)})
        yield DONE

    def error(self, status: int, text: str) -> Json:
        """Give an error."""
        return {"error": {"message": text, "type": "error", "code": status}}


def _message(turn: Json, notes: Notes) -> Message:
    """Read one turn."""
    said = wire.content(turn.get("content") or "", notes)
    if turn.get("role") == "tool":
        where = wire.text(turn.get("tool_call_id"), "the id of a tool result")
        return Message("user", tool_results=(ToolResult(where, said),))
    if turn.get("role") != "assistant":
        return Message("user", said)
    calls = []
    for item in wire.items(turn.get("tool_calls"), "tool_calls"):
        one = wire.mapping(item, "a tool call")
        inner = wire.mapping(one.get("function"), "the function of a tool call")
        name = wire.text(inner.get("name"), "the name of a tool call")
        where = wire.text(one.get("id"), "the id of a tool call")
        calls.append(ToolCall(where, name, wire.arguments(inner.get("arguments"), name)))
    return Message("assistant", said, tuple(calls))


def _head(call: Call, kind: str) -> Json:
    """Give what every reply begins with."""
    return {"id": f"chatcmpl-{uuid4().hex}", "object": kind, "created": 0, "model": call.model}


def _calls(reply: ModelReply) -> dict[str, object]:
    """Give the tool calls, if there are any."""
    calls = [
        {
            "index": place,
            "id": one.id,
            "type": "function",
            "function": {"name": one.name, "arguments": json.dumps(one.arguments)},
        }
        for place, one in enumerate(reply.tool_calls)
    ]
    return {"tool_calls": calls} if calls else {}


def _usage(usage: Usage) -> Json:
    """Give the counts."""
    given = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return {
        "prompt_tokens": given,
        "completion_tokens": usage.output_tokens,
        "total_tokens": given + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
    }
