"""Anthropic's POST /v1/messages on 127.0.0.1."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from juggernaut.adapters.llm.script import Heard, Turn
from tests.fakes.wire_server import Body, Fault, Refused, WireServer, demand, halves

NEVER_FORCED = frozenset({"claude-sonnet-5-5", "claude-opus-5-5"})


class WireAnthropic(WireServer):
    """Checks requests as the Messages API does, and answers from a script."""

    path = "/v1/messages"

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Refuse a request without the right key; SDKs have sent it in either header."""
        if f"Bearer {self.key}" not in {
            headers.get("authorization"),
            f"Bearer {headers.get('x-api-key')}",
        }:
            raise Refused(401, "invalid x-api-key")
        demand(headers.get("anthropic-version"), "anthropic-version: header is required")

    def heard(self, body: Body) -> Heard:
        """Check the body and give what a script is matched against."""
        demand(isinstance(body.get("model"), str), "model: Field required")
        demand(isinstance(body.get("max_tokens"), int), "max_tokens: Field required")
        messages = body.get("messages") or []
        demand(messages and messages[0]["role"] == "user", "messages: first must be a user's")
        asked: set[str] = set()
        for message in messages:
            _check_message(message, asked)
            asked = {part["id"] for part in message["content"] if part["type"] == "tool_use"}
        tools = {tool["name"] for tool in body.get("tools", [])}
        for tool in body.get("tools", []):
            demand(tool["input_schema"].get("type") == "object", "tools: input_schema.type")
        choice = body.get("tool_choice")
        demand(choice is None or choice["name"] in tools, "tool_choice: no such tool")
        demand(
            choice is None or body["model"] not in NEVER_FORCED,
            'tool_choice: type "tool" and "any" are not supported for this model.',
        )
        system = "".join(part["text"] for part in body.get("system", []))
        return Heard(
            opening=f"{system}\n{_text(messages[0])}",
            everything="\n".join([system, *(_text(message) for message in messages)]),
            turn=sum(message["role"] == "assistant" for message in messages),
        )

    def reply(self, body: Body, turn: Turn) -> Body:
        """Give a whole message."""
        content: list[Body] = [{"type": "text", "text": turn.text}] if turn.text else []
        for number, call in enumerate(turn.calls):
            content.append(
                {
                    "type": "tool_use",
                    "id": f"toolu_{len(body['messages'])}_{number}",
                    "name": call.name,
                    "input": call.arguments,
                }
            )
        return {
            "id": "msg_FAKE",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": content,
            "stop_reason": "tool_use" if turn.calls else "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 1_000,
                "cache_creation_input_tokens": 300,
                "cache_read_input_tokens": 200,
                "output_tokens": 100,
            },
        }

    def spoil(self, reply: Body, fault: Fault) -> None:
        """Break a message in place."""
        if fault is Fault.NO_STOP:
            reply["stop_reason"] = None
        if fault is Fault.STRANGE_STOP:
            reply["stop_reason"] = "pause_turn"
        if fault is Fault.REFUSAL:
            reply["stop_reason"] = "refusal"
        if fault is Fault.CUT_AT_LIMIT:
            reply["stop_reason"] = "max_tokens"
        if fault is Fault.NO_USAGE:
            del reply["usage"]
        if fault is Fault.WRONG_MODEL:
            reply["model"] = "claude-opus-5-5"
        if fault is Fault.BAD_ARGUMENTS:
            reply["content"].append(
                {"type": "tool_use", "id": "toolu_bad", "name": "read", "input": "a.py"}
            )

    def pieces(self, reply: Body, body: Body) -> list[Body]:
        """Give a message as a stream."""
        usage = reply.get("usage")
        start = {**reply, "content": [], "stop_reason": None}
        end: Body = {"type": "message_delta", "delta": {"stop_reason": reply["stop_reason"]}}
        if usage:
            start["usage"] = {**usage, "output_tokens": 1}
            end["usage"] = {"output_tokens": usage["output_tokens"]}
        events: list[Body] = [{"type": "message_start", "message": start}, {"type": "ping"}]
        for index, block in enumerate(reply["content"]):
            events += _block_events(index, block)
        return [*events, end, {"type": "message_stop"}]

    def stream_error(self) -> Body:
        """Give the event by which a stream breaks off."""
        return self.error(529, "overloaded")

    def error(self, status: int, message: str) -> Body:
        """Give an error as the Messages API words it."""
        kinds = {400: "invalid_request_error", 401: "authentication_error", 529: "overloaded_error"}
        kind = kinds.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}}


def _block_events(index: int, block: Body) -> list[Body]:
    """Give a block of a message as events of a stream."""
    if block["type"] == "text":
        empty = {**block, "text": ""}
        deltas = [{"type": "text_delta", "text": half} for half in halves(block["text"])]
    else:
        empty = {**block, "input": {}}
        parts = halves(json.dumps(block["input"]))
        deltas = [{"type": "input_json_delta", "partial_json": half} for half in parts]
    return [
        {"type": "content_block_start", "index": index, "content_block": empty},
        *({"type": "content_block_delta", "index": index, "delta": one} for one in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _check_message(message: Body, asked: set[str]) -> None:
    """Refuse a turn that the API would refuse; `asked` are the tool calls before it."""
    parts: list[Any] = message["content"]
    demand(parts, "messages: content must not be empty")
    for part in parts:
        demand(part["type"] != "text" or part["text"].strip(), "messages: empty text block")
    answered = {part["tool_use_id"] for part in parts if part["type"] == "tool_result"}
    demand(answered == asked, "messages: tool_use ids without tool_result blocks, or the reverse")
    kinds = [part["type"] for part in parts]
    demand(
        "tool_result" not in kinds[len(answered) :], "messages: tool_result blocks must come first"
    )


def _text(message: Body) -> str:
    """Give all the text of a turn, tool results included."""
    return "\n".join(
        part.get("text") or str(part.get("content", "")) for part in message["content"]
    )
