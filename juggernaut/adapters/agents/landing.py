"""The landing turn of a code agent that is a program: one last small call, made in its place.

The program has ended by then, and is not started again. To go on in its session it would send all
of that session once more, which the money set aside for a landing turn can seldom pay for, and it
would have its tools. So the model is asked here, for nothing but a note, and is told what the
program's newest calls and results were. Nothing can be changed by it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from secrets import token_hex
from typing import Final

from juggernaut.domain import limits, redact
from juggernaut.domain.errors import BudgetExhausted, ModelError
from juggernaut.domain.exchange import Message
from juggernaut.domain.frame import NONCE_CHARS
from juggernaut.domain.landing import TRAIL_CHARS, landing_call
from juggernaut.ports import Asker

NOTE_LINES: Final = 15
HOW: Final = f"Call no tool. Answer with nothing but, in at most {NOTE_LINES} lines,"
TRAIL_MESSAGES: Final = 40


async def land(ask: Asker, reason: str, asked: str, heard: Sequence[Message]) -> str:
    """Give the note for the next attempt; empty when the model did not write one."""
    nonces = (token_hex(NONCE_CHARS), token_hex(NONCE_CHARS))
    call = landing_call(reason, HOW, asked, _trail(heard[-TRAIL_MESSAGES:]), nonces)
    try:
        async with asyncio.timeout(limits.LANDING_SECONDS):
            reply = await ask(call)
    except (BudgetExhausted, ModelError, TimeoutError):
        return ""
    return redact.scrub(reply.text.strip(), limit=limits.LANDING_NOTE_CHARS)


def _trail(heard: Sequence[Message]) -> Iterator[str]:
    """Give what was said, called and found, each in short."""
    for message in heard:
        if message.role == "assistant" and message.text.strip():
            yield f"said: {message.text.strip()[:TRAIL_CHARS]}"
        for call in message.tool_calls:
            arguments = json.dumps(call.arguments, sort_keys=True, default=str)
            yield f"{call.name} {arguments[:TRAIL_CHARS]}"
        for result in message.tool_results:
            yield f"-> {result.text[:TRAIL_CHARS]}"
