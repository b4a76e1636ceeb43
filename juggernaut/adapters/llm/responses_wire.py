"""The Responses format of OpenAI: our request as theirs, their reply as ours.

Nothing is kept at the provider (`store` is off): the whole conversation goes with every request.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from juggernaut.adapters.llm import body as read
from juggernaut.adapters.llm.dialect import Dialect
from juggernaut.adapters.llm.reading import Reading
from juggernaut.domain.errors import ModelGarbled, ModelRefused
from juggernaut.domain.exchange import Message, ModelRequest, StopReason, ToolCall, Usage
from juggernaut.domain.model import Json

if TYPE_CHECKING:
    from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
    from openai.types.responses.response_input_param import ResponseInputItemParam

_SHOWN_CHARS = 200


def to_wire(
    request: ModelRequest, model: str, dialect: Dialect
) -> ResponseCreateParamsNonStreaming:
    """Give the body of POST /responses."""
    params: ResponseCreateParamsNonStreaming = {
        "model": model,
        "input": [item for message in request.messages for item in _items(message)],
        "max_output_tokens": request.max_tokens,
        "store": False,
    }
    system = dialect.system(request)
    if system:
        params["instructions"] = system
    if request.tools:
        params["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.schema),
                "strict": False,
            }
            for tool in request.tools
        ]
    if request.force_tool and dialect.may_force:
        params["tool_choice"] = {"type": "function", "name": request.force_tool}
    return params


def _items(message: Message) -> list[ResponseInputItemParam]:
    """Give one turn: results before the user's text, an assistant's text before its calls."""
    out: list[ResponseInputItemParam] = [
        {
            "type": "function_call_output",
            "call_id": result.call_id,
            "output": f"ERROR: {result.text}" if result.is_error else result.text,
        }
        for result in message.tool_results
    ]
    if message.role == "assistant":
        if message.text:
            out.append({"role": "assistant", "content": message.text})
    elif message.text or not out:
        out.append({"role": "user", "content": message.text})
    for call in message.tool_calls:
        out.append(
            {
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": json.dumps(dict(call.arguments)),
            }
        )
    return out


def from_wire(reply: Json, asked: str) -> Reading:
    """Read a response; raises ModelGarbled, or ModelRefused where the model would not answer.

    Of a response that was cut off at its limit the tool calls are dropped: the last one is not
    whole.
    """
    length = _is_cut(reply)
    texts: list[str] = []
    calls: list[ToolCall] = []
    for item in read.items(reply.get("output"), "the response's output"):
        part = read.mapping(item, "an item of the output")
        if part.get("type") == "message":
            texts += _texts(part)
        elif part.get("type") == "function_call" and not length:
            calls.append(_tool_call(part))
    if not length and not texts and not calls:
        raise ModelGarbled("the response has neither text nor a tool call")
    stop = StopReason.TOOL if calls else StopReason.END
    return Reading(
        text="".join(texts),
        tool_calls=tuple(calls),
        stop=StopReason.LENGTH if length else stop,
        usage=_usage(reply.get("usage")),
        model=read.model_name(reply.get("model"), asked),
    )


def _is_cut(reply: Json) -> bool:
    """Say whether the model ran into its limit; raises for any end that is not a good one."""
    status = reply.get("status")
    if status == "completed":
        return False
    if status != "incomplete":
        raise ModelGarbled(f"the response has the unknown status {str(status)[:64]!r}: cut off?")
    details = read.mapping(reply.get("incomplete_details") or {}, "why the response ended")
    reason = details.get("reason")
    if reason == "content_filter":
        raise ModelRefused("the model gave no answer (incomplete: content_filter)")
    if reason != "max_output_tokens":
        raise ModelGarbled(f"the response is incomplete, for the unknown reason {reason!r}")
    return True


def _texts(message: Json) -> list[str]:
    """Give the texts of a message; raises ModelRefused for a refusal."""
    found = []
    for item in read.items(message.get("content"), "the content of a message"):
        part = read.mapping(item, "a part of a message")
        if part.get("type") == "refusal":
            said = str(part.get("refusal"))[:_SHOWN_CHARS]
            raise ModelRefused(f"the model gave no answer; it refused: {said}")
        if part.get("type") == "output_text":
            found.append(read.text(part.get("text"), "a text of a message"))
    return found


def _tool_call(item: Json) -> ToolCall:
    """Read a function call."""
    name = read.tool_name(item.get("name"), "the name of a tool call")
    arguments = read.text(item.get("arguments"), f"the arguments of {name}")
    return ToolCall(
        id=read.text(item.get("call_id"), "the id of a tool call"),
        name=name,
        arguments=read.json_object(arguments or "{}", f"the arguments of {name}"),
    )


def _usage(value: object) -> Usage | None:
    """Read the counts; None unless both are there and sensible. Cached tokens are set apart."""
    if not isinstance(value, dict) or "input_tokens" not in value or "output_tokens" not in value:
        return None
    details = value.get("input_tokens_details")
    cached = read.count(details, "cached_tokens") if isinstance(details, dict) else 0
    whole, output = read.count(value, "input_tokens"), read.count(value, "output_tokens")
    if whole is None or output is None or cached is None or cached > whole:
        return None
    return Usage(input_tokens=whole - cached, output_tokens=output, cache_read_tokens=cached)
