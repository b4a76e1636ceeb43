"""Keeps a conversation within its window: old turns give way to a record of what came of them.

The system prompt, the first message (goal, criteria, map) and the newest turns stay whole. Calls
and results stay paired, because providers refuse a conversation where they are not. It is done
seldom and then thoroughly: each time, what a provider had cached after the first message is lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from secrets import token_hex
from typing import Final

from juggernaut.domain import limits
from juggernaut.domain.exchange import Message, ToolCall
from juggernaut.domain.fit import fitting
from juggernaut.domain.frame import NONCE_CHARS, frame
from juggernaut.domain.model import Json

# Of the room that the first message leaves.
FULL: Final = 0.8
KEPT: Final = 0.5
RECORD_PART: Final = 6  # the record has at most one of so many parts of it
SHORT_CHARS: Final = 200
LEFT_OUT: Final = (
    "(My earlier turns are left out here; the record that follows says what they did.)"
)
RECORD: Final = (
    "The record of the turns that were left out. The files are as those turns left them: read again"
    " what you need, and go on."
)

Told = Callable[[int], str]


def size(message: Message) -> int:
    """Count the characters of a message as JSON in ASCII: no token is shorter than one of them."""
    calls = [(call.id, call.name, dict(call.arguments)) for call in message.tool_calls]
    results = [(result.call_id, result.text) for result in message.tool_results]
    return len(json.dumps([message.text, calls, results], default=str))


def compact(messages: Sequence[Message], most_chars: int, told: Told) -> tuple[Message, ...]:
    """Give the conversation, without its old turns if it nears the bound.

    `told` gives the record of all turns, in at most so many characters.
    """
    first, *rest = messages
    room = most_chars - size(first)
    if sum(map(size, rest)) <= room * FULL:
        return tuple(messages)
    turns = [rest[place : place + 2] for place in range(0, len(rest), 2)]
    if turns and turns[0][0].text == LEFT_OUT:
        turns.pop(0)
    kept = _newest(turns, int(room * KEPT))
    if len(kept) < len(turns):
        record = fitting(told(limits.RECORD_CHARS), max(room, 0) // RECORD_PART)
        framed = frame(record, "the record", token_hex(NONCE_CHARS))
        note = [Message("assistant", LEFT_OUT), Message("user", f"{RECORD}\n{framed}")]
        kept = [note, *kept]
    rest = [message for turn in kept for message in turn]
    if sum(map(size, rest)) > room:
        rest = [_without_arguments(message) for message in rest]
    return (first, *rest)


def _newest(turns: Sequence[Sequence[Message]], room: int) -> list[Sequence[Message]]:
    """Give as many of the newest turns as there is room for, and the last one in any case."""
    kept: list[Sequence[Message]] = []
    for turn in reversed(turns):
        room -= sum(map(size, turn))
        if kept and room < 0:
            break
        kept.insert(0, turn)
    return kept


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
