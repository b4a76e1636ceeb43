"""A stream of the Messages API as the whole reply that it stands for."""

from __future__ import annotations

from typing import Final

from juggernaut.adapters.llm import body as read
from juggernaut.domain.errors import ModelGarbled
from juggernaut.domain.model import Json

# The status that the API gives each kind of error when it comes before the stream.
_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_TEXTS: Final = {"text_delta": "text", "input_json_delta": "partial_json"}
_MOST_BLOCKS: Final = 1_000


def is_last(event: Json) -> bool:
    """Say whether nothing comes after an event."""
    return event.get("type") in {"message_stop", "error"}


def gather(events: list[Json]) -> Json:
    """Give the whole reply; raises ModelGarbled for a stream that has lost its end."""
    if not events or not is_last(events[-1]):
        raise ModelGarbled("the stream ended before the reply did: it was cut off")
    if events[-1].get("type") == "error":
        error = read.mapping(events[-1].get("error"), "the error of the stream")
        status = _STATUSES.get(str(error.get("type")))
        told = {"code": status, "message": error.get("message")}
        return {"error": told, "begun": len(events) > 1}
    reply: dict[str, object] = {}
    usage: dict[str, object] = {}
    blocks: dict[int, dict[str, object]] = {}
    pieces: dict[int, list[str]] = {}
    for event in events:
        kind = event.get("type")
        if kind == "message_start":
            reply = dict(read.mapping(event.get("message"), "the start of the stream"))
            usage.update(_usage(reply))
        elif kind == "content_block_start":
            place = _place(event)
            blocks[place] = dict(read.mapping(event.get("content_block"), "a block"))
            pieces[place] = []
        elif kind == "content_block_delta":
            _add(event, pieces)
        elif kind == "message_delta":
            reply.update(read.mapping(event.get("delta"), "the end of the stream"))
            usage.update(_usage(event))
    if usage:
        reply["usage"] = usage
    cut = reply.get("stop_reason") == "max_tokens"
    whole = (_block(blocks[place], "".join(pieces[place]), cut) for place in sorted(blocks))
    reply["content"] = [block for block in whole if block is not None]
    return reply


def _usage(source: Json) -> dict[str, object]:
    """Give the counts that are there; later ones replace earlier ones."""
    usage = source.get("usage")
    return {k: v for k, v in usage.items() if v is not None} if isinstance(usage, dict) else {}


def _place(event: Json) -> int:
    """Give the number of a block."""
    place = read.count(event, "index")
    if place is None or place > _MOST_BLOCKS:
        raise ModelGarbled("a piece of the stream belongs to no block")
    return place


def _add(event: Json, pieces: dict[int, list[str]]) -> None:
    """Add a piece to its block; kinds that are not read (thinking) are passed by."""
    delta = read.mapping(event.get("delta"), "a piece of the stream")
    key = _TEXTS.get(str(delta.get("type")))
    if key is None:
        return
    if _place(event) not in pieces:
        raise ModelGarbled("a piece of the stream belongs to no block")
    pieces[_place(event)].append(read.text(delta.get(key), "a piece of the stream"))


def _block(block: dict[str, object], text: str, cut: bool) -> dict[str, object] | None:
    """Give a whole block; the tool calls of a reply that was cut at its limit are none."""
    if block.get("type") == "text":
        return {**block, "text": f"{block.get('text') or ''}{text}"}
    if block.get("type") == "tool_use":
        if cut:
            return None
        if text:
            return {**block, "input": read.json_object(text, "the input of a tool call")}
    return block
