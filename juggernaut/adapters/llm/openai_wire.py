"""The Chat Completions format: our request as theirs, their reply as ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from juggernaut.adapters.llm import body as read
from juggernaut.adapters.llm.dialect import Dialect
from juggernaut.adapters.llm.reading import Reading
from juggernaut.domain.errors import ModelGarbled, ModelRefused
from juggernaut.domain.exchange import Message, ModelRequest, StopReason, ToolCall, Usage
from juggernaut.domain.model import Json

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
    from openai.types.chat.chat_completion_assistant_message_param import (
        ChatCompletionAssistantMessageParam,
    )
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

_STOPS: Final = {
    "stop": StopReason.END,
    "tool_calls": StopReason.TOOL,
    "length": StopReason.LENGTH,
}
_REFUSALS: Final = frozenset({"content_filter"})


def to_wire(
    request: ModelRequest, model: str, dialect: Dialect
) -> CompletionCreateParamsNonStreaming:
    """Give the body of POST /chat/completions."""
    messages: list[ChatCompletionMessageParam] = []
    system = dialect.system(request)
    if system:
        messages.append({"role": "system", "content": system})
    for message in request.messages:
        messages.extend(_messages(message))
    params: CompletionCreateParamsNonStreaming = {"model": model, "messages": messages}
    params[dialect.limit] = request.max_tokens
    if request.tools:
        tools: list[ChatCompletionToolParam] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.schema),
                },
            }
            for tool in request.tools
        ]
        params["tools"] = tools
        if dialect.effort_none:
            params["reasoning_effort"] = "none"
    if dialect.streams and dialect.counts_stream:
        params["stream_options"] = {"include_usage": True}
    if request.force_tool and dialect.may_force:
        params["tool_choice"] = {"type": "function", "function": {"name": request.force_tool}}
    return params


def _messages(message: Message) -> list[ChatCompletionMessageParam]:
    """Give one turn; each tool result is a message of its own, before the user's text.

    The format has no flag for a failed tool, so the text says it.
    """
    if message.role == "assistant":
        return [_assistant(message)]
    out: list[ChatCompletionMessageParam] = [
        {
            "role": "tool",
            "tool_call_id": result.call_id,
            "content": f"ERROR: {result.text}" if result.is_error else result.text,
        }
        for result in message.tool_results
    ]
    if message.text or not out:
        out.append({"role": "user", "content": message.text})
    return out


def _assistant(message: Message) -> ChatCompletionAssistantMessageParam:
    """Give an assistant's turn with its tool calls."""
    out: ChatCompletionAssistantMessageParam = {"role": "assistant", "content": message.text}
    if message.tool_calls:
        out["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments))},
            }
            for call in message.tool_calls
        ]
    return out


def from_wire(reply: Json, asked: str) -> Reading:
    """Read a reply; raises ModelGarbled, or ModelRefused where the model would not answer.

    A forced tool call ends with `stop` at some servers, so calls decide over the reason. Of a
    reply that was cut off at its limit the tool calls are dropped: their arguments are not whole.
    """
    choices = read.items(reply.get("choices"), "the reply's choices")
    if not choices:
        raise ModelGarbled("the reply has no choice")
    choice = read.mapping(choices[0], "the reply's choice")
    stop = _stop(choice)
    message = read.mapping(choice.get("message"), "the reply's message")
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        raise ModelRefused(f"the model refused: {refusal[:200]}")
    calls = () if stop is StopReason.LENGTH else _tool_calls(message.get("tool_calls"))
    if stop is StopReason.TOOL and not calls:
        raise ModelGarbled("the reply stopped for a tool (tool_calls) and names none")
    content = message.get("content")
    return Reading(
        text="" if content is None else read.text(content, "the message's content"),
        tool_calls=calls,
        stop=StopReason.TOOL if calls else stop,
        usage=_usage(reply.get("usage")),
        model=read.model_name(reply.get("model"), asked),
    )


def _stop(choice: Json) -> StopReason:
    """Give why the model stopped; anything but a known good reason is an error that names it."""
    reason = choice.get("finish_reason")
    if not isinstance(reason, str):
        raise ModelGarbled("the reply has no finish_reason: it was cut off")
    if reason in _REFUSALS:
        raise ModelRefused(f"the model gave no answer (finish_reason {reason})")
    if reason not in _STOPS:
        raise ModelGarbled(f"the reply has the unknown finish_reason {reason[:64]!r}")
    return _STOPS[reason]


def _tool_calls(value: object) -> tuple[ToolCall, ...]:
    """Read the tool calls; their arguments are JSON in a text, and must be an object."""
    if value is None:
        return ()
    calls: list[ToolCall] = []
    for item in read.items(value, "the message's tool_calls"):
        call = read.mapping(item, "a tool call")
        function = read.mapping(call.get("function"), "the function of a tool call")
        name = read.tool_name(function.get("name"), "the name of a tool call")
        arguments = read.text(function.get("arguments"), f"the arguments of {name}")
        # Some servers send an empty text for a tool without arguments, and some no id.
        calls.append(
            ToolCall(
                id=read.text(call.get("id") or "", "the id of a tool call")
                or f"call_{uuid4().hex}",
                name=name,
                arguments=read.json_object(arguments or "{}", f"the arguments of {name}"),
            )
        )
    return tuple(calls)


def _usage(value: object) -> Usage | None:
    """Read the counts; None unless both are there and sensible. Cached tokens are set apart.

    What was written to a cache is counted by OpenRouter only.
    """
    if not isinstance(value, dict):
        return None
    if "prompt_tokens" not in value or "completion_tokens" not in value:
        return None
    details = value.get("prompt_tokens_details")
    whole_input = read.count(value, "prompt_tokens")
    output = read.count(value, "completion_tokens")
    counts = details if isinstance(details, dict) else {}
    cached, written = (read.count(counts, f"{kind}_tokens") for kind in ("cached", "cache_write"))
    if whole_input is None or output is None or cached is None or written is None:
        return None
    fresh = whole_input - cached - written
    return Usage(fresh, output, cached, written) if fresh >= 0 else None
