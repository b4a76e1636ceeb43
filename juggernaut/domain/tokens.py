"""How many tokens a request takes at most, whatever the provider's tokenizer."""

from __future__ import annotations

import json

from juggernaut.domain import limits
from juggernaut.domain.exchange import ModelRequest, ToolCall


def tokens_of(text: str) -> int:
    """Give a bound of the tokens of a text."""
    return -(-len(text) // limits.CHARS_PER_TOKEN)


def estimated_tokens(request: ModelRequest) -> int:
    """Give a bound of a request's input tokens.

    The text is counted as JSON in ASCII, where every byte of the text is one character or more,
    and a token of a byte-level tokenizer holds at least one byte.
    """
    turns = [
        (turn.role, turn.text, [*map(_call_parts, turn.tool_calls)], [*map(str, turn.tool_results)])
        for turn in request.messages
    ]
    tools = [(tool.name, tool.description, dict(tool.schema)) for tool in request.tools]
    whole = json.dumps([request.system, turns, tools], default=str)
    return tokens_of(whole) + limits.MODEL_OVERHEAD_TOKENS


def most_tokens(request: ModelRequest) -> int:
    """Give a bound of all tokens of a call: what is asked, and the longest answer to it."""
    return estimated_tokens(request) + request.max_tokens


def typical_tokens(request: ModelRequest) -> int:
    """Guess the tokens of a call, input and longest answer: for what is not about money."""
    return estimated_tokens(request) // limits.TYPICAL_CHARS_PER_TOKEN + request.max_tokens


def _call_parts(call: ToolCall) -> tuple[str, str, dict[str, object]]:
    """Give what of a tool call goes over the wire."""
    return (call.id, call.name, dict(call.arguments))
