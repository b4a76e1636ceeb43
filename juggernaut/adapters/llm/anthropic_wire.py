"""The Messages format of Anthropic: our request as theirs, their reply as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from juggernaut.adapters.llm import body as read
from juggernaut.adapters.llm.dialect import Dialect
from juggernaut.adapters.llm.reading import Reading
from juggernaut.domain.errors import ModelGarbled, ModelRefused
from juggernaut.domain.exchange import Message, ModelRequest, StopReason, ToolCall, Usage
from juggernaut.domain.model import Json

if TYPE_CHECKING:
    from anthropic.types import (
        MessageParam,
        TextBlockParam,
        ToolParam,
        ToolResultBlockParam,
        ToolUseBlockParam,
    )
    from anthropic.types.message_create_params import MessageCreateParamsNonStreaming

    Block: TypeAlias = TextBlockParam | ToolUseBlockParam | ToolResultBlockParam

_STOPS: Final = {
    "end_turn": StopReason.END,
    "stop_sequence": StopReason.END,
    "tool_use": StopReason.TOOL,
    "max_tokens": StopReason.LENGTH,
}
_REFUSALS: Final = frozenset({"refusal", "model_context_window_exceeded"})
# The API takes no empty message; this stands for a turn in which nothing was said.
_NOTHING: Final = "(nothing)"
_TURN_MESSAGES: Final = 2  # the model's, and the results that answer it


def to_wire(request: ModelRequest, model: str, dialect: Dialect) -> MessageCreateParamsNonStreaming:
    """Give the body of POST /v1/messages.

    Up to four cache marks are set, which is as many as the API takes: see _mark_for_cache.
    Nothing is said of thinking: each model has its own default, and in the adaptive mode of
    current ones earlier turns may come back without their thinking blocks.
    """
    messages = [_message(message) for message in request.messages]
    if not request.force_tool:
        _mark_for_cache(messages)
    params: MessageCreateParamsNonStreaming = {
        "model": model,
        "max_tokens": request.max_tokens,
        "messages": messages,
    }
    system = dialect.system(request)
    if system:
        params["system"] = [
            {"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}
        ]
    if request.tools:
        tools: list[ToolParam] = [
            {
                "name": tool.name,
                "description": tool.description,
                "input_schema": dict(tool.schema),
            }
            for tool in request.tools
        ]
        params["tools"] = tools
    if request.force_tool and dialect.may_force:
        params["tool_choice"] = {"type": "tool", "name": request.force_tool}
    return params


def _message(message: Message) -> MessageParam:
    """Give one turn; tool results come first, as the API demands."""
    blocks: list[Block] = [
        {
            "type": "tool_result",
            "tool_use_id": result.call_id,
            "content": result.text or _NOTHING,
            "is_error": result.is_error,
        }
        for result in message.tool_results
    ]
    if message.text.strip():
        blocks.append({"type": "text", "text": message.text})
    for call in message.tool_calls:
        blocks.append(
            {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
        )
    if not blocks:
        blocks.append({"type": "text", "text": _NOTHING})
    if message.role == "assistant":
        return {"role": "assistant", "content": blocks}
    return {"role": "user", "content": blocks}


def _mark_for_cache(messages: list[MessageParam]) -> None:
    """Let the provider cache a conversation: its first message, its newest, the one between.

    The first is what is left of a conversation that was compacted. The newest but one is where
    the turn before wrote: the API looks only 20 blocks back from a mark, and one turn with many
    tool calls has more. A request that forces a tool is a single question, and writing to the
    cache costs more than it reads, so those have no marks here.
    """
    for place in {0, len(messages) - _TURN_MESSAGES - 1, len(messages) - 1}:
        if place < 0 or place >= len(messages):
            continue
        content = messages[place]["content"]
        if isinstance(content, list):
            content[-1]["cache_control"] = {"type": "ephemeral"}


def from_wire(reply: Json, asked: str) -> Reading:
    """Read a reply; raises ModelGarbled, or ModelRefused where the model would not answer.

    Of a reply that was cut off at max_tokens the tool calls are dropped: the last one may have
    lost arguments and would still look whole.
    """
    stop = _stop(reply)
    texts: list[str] = []
    calls: list[ToolCall] = []
    for item in read.items(reply.get("content"), "the reply's content"):
        block = read.mapping(item, "a block of the reply")
        if block.get("type") == "text":
            texts.append(read.text(block.get("text"), "a text block"))
        elif block.get("type") == "tool_use":
            calls.append(_tool_call(block))
    if stop is StopReason.TOOL and not calls:
        raise ModelGarbled("the reply stopped for a tool (tool_use) and names none")
    if calls and stop is StopReason.END:
        stop = StopReason.TOOL
    return Reading(
        text="".join(texts),
        tool_calls=() if stop is StopReason.LENGTH else tuple(calls),
        stop=stop,
        usage=_usage(reply.get("usage")),
        model=read.model_name(reply.get("model"), asked),
    )


def _stop(reply: Json) -> StopReason:
    """Give why the model stopped; anything but a known good reason is an error that names it."""
    reason = reply.get("stop_reason")
    if not isinstance(reason, str):
        raise ModelGarbled("the reply has no stop_reason: it was cut off")
    if reason in _REFUSALS:
        raise ModelRefused(f"the model gave no answer (stop_reason {reason})")
    if reason not in _STOPS:
        raise ModelGarbled(f"the reply has the unknown stop_reason {reason[:64]!r}")
    return _STOPS[reason]


def _tool_call(block: Json) -> ToolCall:
    """Read a tool_use block."""
    return ToolCall(
        id=read.text(block.get("id"), "the id of a tool call"),
        name=read.tool_name(block.get("name"), "the name of a tool call"),
        arguments=read.mapping(block.get("input"), "the input of a tool call"),
    )


def _usage(value: object) -> Usage | None:
    """Read the counts; None unless input and output are both there and sensible."""
    if not isinstance(value, dict) or "input_tokens" not in value or "output_tokens" not in value:
        return None
    keys = (
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
    )
    counts = [read.count(value, key) for key in keys]
    known = [number for number in counts if number is not None]
    return Usage(*known) if len(known) == len(keys) else None
