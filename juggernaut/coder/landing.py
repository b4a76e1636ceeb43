"""The built-in agent's landing turn: the note is what it calls finish with."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from secrets import token_hex
from typing import Final

from juggernaut.coder.conversation import Conversation
from juggernaut.coder.tools import FINISH, SPECS
from juggernaut.domain import limits, redact
from juggernaut.domain.errors import BudgetExhausted, ModelError
from juggernaut.domain.exchange import AgentResult, ModelReply, ModelRequest
from juggernaut.domain.frame import NONCE_CHARS
from juggernaut.domain.landing import landing_call
from juggernaut.ports import Asker

HOW: Final = "Call finish once. Its summary is"
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
    nonces = (token_hex(NONCE_CHARS), token_hex(NONCE_CHARS))
    return replace(
        landing_call(reason, HOW, talk.asked, talk.trail, nonces),
        system=talk.system,
        tools=tuple(spec for spec in SPECS if spec.name == FINISH),
        force_tool=FINISH,
    )


def _note(reply: ModelReply) -> str:
    """Read the note: the summary of finish, or else what the model said."""
    for call in reply.tool_calls:
        summary = call.arguments.get("summary")
        if call.name == FINISH and isinstance(summary, str) and summary.strip():
            return redact.scrub(summary.strip(), limit=limits.LANDING_NOTE_CHARS)
    return redact.scrub(reply.text.strip() or SILENT, limit=limits.LANDING_NOTE_CHARS)
