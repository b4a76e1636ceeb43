"""Keeps a conversation within its bound: what tools gave long ago becomes one line.

Calls and results stay paired, because providers refuse a conversation where they are not. The
system prompt, the first message and the newest turns stay whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from juggernaut.domain.exchange import Message, ToolCall, ToolResult
from juggernaut.domain.model import Json

KEPT_MESSAGES: Final = 6
# Going well below the bound keeps the head of the conversation stable for many turns, and with
# it the provider's cache.
ROOM: Final = 0.5
SHORT_CHARS: Final = 200


def size(message: Message) -> int:
    """Count the characters of a message that a model reads."""
    calls = sum(len(call.name) + len(str(call.arguments)) for call in message.tool_calls)
    return len(message.text) + calls + sum(len(result.text) for result in message.tool_results)


def compact(messages: Sequence[Message], most_chars: int) -> tuple[Message, ...]:
    """Give the conversation, shortened from its old end if it is above the bound."""
    kept = list(messages)
    if sum(map(size, kept)) <= most_chars:
        return tuple(kept)
    for newest, goal in ((KEPT_MESSAGES, int(most_chars * ROOM)), (1, most_chars)):
        for shorten in (_without_results, _without_arguments):
            kept = _shortened(kept, newest, goal, shorten)
    return tuple(kept)


def _shortened(
    messages: list[Message], newest: int, goal: int, shorten: Callable[[Message], Message]
) -> list[Message]:
    """Shorten message after message from the old end, until the whole has the wanted size."""
    kept = list(messages)
    total = sum(map(size, kept))
    for place in range(1, len(kept) - newest):
        if total <= goal:
            break
        shorter = shorten(kept[place])
        total -= size(kept[place]) - size(shorter)
        kept[place] = shorter
    return kept


def _without_results(message: Message) -> Message:
    """Replace what tools gave by one line each."""
    results = tuple(_noted(result) for result in message.tool_results)
    return replace(message, tool_results=results)


def _noted(result: ToolResult) -> ToolResult:
    """Give a result as a note, unless it is as short already."""
    if len(result.text) <= SHORT_CHARS:
        return result
    note = f"[{len(result.text)} characters, removed to save room; call the tool again if needed]"
    return replace(result, text=note)


def _without_arguments(message: Message) -> Message:
    """Replace long texts that the model itself sent to tools, such as a written file."""
    return replace(message, tool_calls=tuple(_brief(call) for call in message.tool_calls))


def _brief(call: ToolCall) -> ToolCall:
    """Give a call with each long argument as a note."""
    arguments: Json = {name: _short(value) for name, value in call.arguments.items()}
    return replace(call, arguments=arguments)


def _short(value: object) -> object:
    """Give a value, or a note of its length if it is long."""
    chars = len(value) if isinstance(value, str) else len(str(value))
    return value if chars <= SHORT_CHARS else f"[{chars} characters, removed to save room]"
