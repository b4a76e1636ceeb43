"""Streams of Chat Completions and of Responses as the whole replies that they stand for."""

from __future__ import annotations

from typing import Final

from juggernaut.adapters.llm import body as read
from juggernaut.domain.errors import ModelGarbled
from juggernaut.domain.model import Json

_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})
_STATUSES: Final = {"invalid_prompt": 400, "rate_limit_exceeded": 429, "server_error": 500}
_MOST_CALLS: Final = 1_000
_CUT: Final = "the stream ended before the reply did: it was cut off"


def is_last_of_chat(event: Json) -> bool:
    """Say whether nothing comes after an event; a good stream ends with [DONE] instead."""
    return isinstance(event.get("error"), dict)


def gather_chat(events: list[Json]) -> Json:
    """Give the whole completion; one that has lost its end has no finish_reason."""
    if events and is_last_of_chat(events[-1]):
        return {"error": events[-1]["error"], "begun": len(events) > 1}
    reply: dict[str, object] = {}
    texts: dict[str, list[str]] = {"content": [], "refusal": []}
    calls: dict[int, dict[str, list[str]]] = {}
    finish: object = None
    for event in events:
        reply["model"] = reply.get("model") or event.get("model")
        reply["usage"] = event.get("usage") or reply.get("usage")
        for item in read.items(event.get("choices") or [], "the choices of a piece"):
            choice = read.mapping(item, "a choice of a piece")
            finish = choice.get("finish_reason") or finish
            delta = read.mapping(choice.get("delta") or {}, "a piece of the stream")
            for key, parts in texts.items():
                if delta.get(key) is not None:
                    parts.append(read.text(delta[key], "a piece of the text"))
            for call in read.items(delta.get("tool_calls") or [], "the tool calls of a piece"):
                _add_call(read.mapping(call, "a piece of a tool call"), calls)
    message: dict[str, object] = {key: "".join(parts) for key, parts in texts.items()}
    if calls:
        message["tool_calls"] = [_call(calls[place]) for place in sorted(calls)]
    reply["choices"] = [{"message": message, "finish_reason": finish}]
    return reply


def _add_call(piece: Json, calls: dict[int, dict[str, list[str]]]) -> None:
    """Add a piece to its tool call."""
    place = read.count(piece, "index")
    if place is None or place > _MOST_CALLS:
        raise ModelGarbled("a piece of the stream belongs to no tool call")
    parts = calls.setdefault(place, {"id": [], "name": [], "arguments": []})
    function = read.mapping(piece.get("function") or {}, "the function of a tool call")
    for key, value in (("id", piece.get("id")), *function.items()):
        if key in parts and value is not None:
            parts[key].append(read.text(value, f"the {key} of a tool call"))


def _call(parts: dict[str, list[str]]) -> dict[str, object]:
    """Give a whole tool call; some servers repeat id and name in every piece."""
    return {
        "id": "".join(parts["id"][:1]),
        "function": {
            "name": "".join(parts["name"][:1]),
            "arguments": "".join(parts["arguments"]),
        },
    }


def is_last_of_responses(event: Json) -> bool:
    """Say whether nothing comes after an event."""
    return event.get("type") in _ENDS


def gather_responses(events: list[Json]) -> Json:
    """Give the whole response, which the last event holds; raises ModelGarbled without one."""
    if not events or not is_last_of_responses(events[-1]):
        raise ModelGarbled(_CUT)
    last = events[-1]
    if last.get("type") == "error":
        return {"error": error_of(last), "begun": len(events) > 1}
    reply = dict(read.mapping(last.get("response"), "the end of the stream"))
    if last.get("type") == "response.failed":
        failure = read.mapping(reply.get("error") or {}, "the error of the stream")
        return {"error": error_of(failure), "begun": True}
    return reply


def error_of(source: Json) -> Json:
    """Give an error with the status that its code stands for."""
    return {"code": _STATUSES.get(str(source.get("code"))), "message": source.get("message")}
