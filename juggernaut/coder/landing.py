"""The landing turn: one last small call at a bound, for a note and nothing else.

It was paid for in advance, so that work that has to stop leaves a note and not a heap.
"""

from __future__ import annotations

import asyncio
from secrets import token_hex
from typing import Final

from juggernaut.coder import bounds
from juggernaut.coder.conversation import Conversation
from juggernaut.coder.tools import FINISH, SPECS
from juggernaut.domain import limits, redact
from juggernaut.domain.errors import BudgetExhausted, ModelError
from juggernaut.domain.exchange import AgentResult, Message, ModelReply, ModelRequest
from juggernaut.domain.frame import frame
from juggernaut.domain.purse import Landing
from juggernaut.ports import Asker

STOP: Final = (
    "You have to stop now: {reason}. Nothing can be changed or run any more; what is in the work"
    " tree is kept on the task's branch. Call finish once. Its summary is a note for whoever goes"
    " on: what is done, what is left, what is in the way, and the next step. Never say that"
    " something works if you did not see it."
)
ROOM_CHARS: Final = limits.LANDING_CHARS // 3
SILENT: Final = "The model left no note"


async def land(talk: Conversation, ask: Asker, reason: str, purse: str | None) -> AgentResult:
    """End the work at a bound, with a note for the next attempt; the model may fail to write it."""
    try:
        async with asyncio.timeout(limits.LANDING_SECONDS):
            note = _note(await ask(_request(talk, reason)))
    except (BudgetExhausted, ModelError, TimeoutError) as error:
        note = redact.scrub(f"{SILENT}: {error}", limit=limits.EXCERPT_CHARS)
    return talk.ended(reason, handoff=note, purse=purse)


def _request(talk: Conversation, reason: str) -> ModelRequest:
    """Make a request that is never larger than what was set aside for it."""
    asked = bounds.fitting(talk.asked, ROOM_CHARS)
    trail = bounds.fitting("\n".join(bounds.newest(talk.trail, ROOM_CHARS)), ROOM_CHARS)
    parts = [
        STOP.format(reason=reason),
        frame(asked, "what was asked for", token_hex(16)),
        frame(trail, "the newest calls and results", token_hex(16)),
    ]
    return ModelRequest(
        purpose="code",
        system=talk.system,
        messages=(Message("user", "\n\n".join(parts)),),
        tools=tuple(spec for spec in SPECS if spec.name == FINISH),
        force_tool=FINISH,
        max_tokens=limits.LANDING_TOKENS,
        timeout_seconds=limits.LANDING_SECONDS,
        landing=Landing.TURN,
    )


def _note(reply: ModelReply) -> str:
    """Read the note: the summary of finish, or else what the model said."""
    for call in reply.tool_calls:
        summary = call.arguments.get("summary")
        if call.name == FINISH and isinstance(summary, str) and summary.strip():
            return redact.scrub(summary.strip(), limit=limits.LANDING_NOTE_CHARS)
    return redact.scrub(reply.text.strip() or SILENT, limit=limits.LANDING_NOTE_CHARS)
