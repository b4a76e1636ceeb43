"""A model that is a file: for the demo and for tests. Its label says so wherever it speaks."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

from juggernaut.adapters.llm.script import Heard, Script, load_script
from juggernaut.domain.exchange import (
    Message,
    ModelReply,
    ModelRequest,
    StopReason,
    ToolCall,
    Usage,
)
from juggernaut.domain.tokens import estimated_tokens, tokens_of


class ScriptedModel:
    """Answers from a file of conversations (see script.py for its form).

    It costs the file's `usd_per_call` for every call: a pretend price, so that reservations and
    budgets move as with a real model. Its token counts are estimates from the lengths of texts.
    """

    def __init__(self, path: Path) -> None:
        """Read the file; raises ConfigError."""
        self._script: Script = load_script(path)

    @property
    def name(self) -> str:
        """Give scripted/label, as it stands in the ledger."""
        return f"scripted/{self._script.label}"

    def max_price(self, request: ModelRequest) -> Decimal:
        """Give the pretend price, which is the same for every call."""
        return self._script.usd_per_call

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Answer with the turn that is next; raises ModelRefused when the file has none."""
        turn = self._script.answer(heard(request), request.purpose)
        index = _turn_index(request)
        calls = tuple(
            ToolCall(f"scripted_{index}_{number}", call.name, call.arguments)
            for number, call in enumerate(turn.calls)
        )
        said = turn.text + json.dumps([call.arguments for call in calls], default=str)
        return ModelReply(
            text=turn.text,
            tool_calls=calls,
            stop=StopReason.TOOL if calls else StopReason.END,
            usage=Usage(input_tokens=estimated_tokens(request), output_tokens=tokens_of(said)),
            model=self.name,
            cost_usd=self._script.usd_per_call,
        )


def heard(request: ModelRequest) -> Heard:
    """Give what a script is matched against."""
    first = next((turn for turn in request.messages if turn.role == "user"), Message("user"))
    return Heard(
        opening=f"{request.system}\n{first.text}",
        everything="\n".join([request.system, *map(_said, request.messages)]),
        turn=_turn_index(request),
    )


def _turn_index(request: ModelRequest) -> int:
    """Count the turns that the model had already."""
    return sum(message.role == "assistant" for message in request.messages)


def _said(message: Message) -> str:
    """Give all the text of a turn, tool results included."""
    return "\n".join([message.text, *(result.text for result in message.tool_results)])
