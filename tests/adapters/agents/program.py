"""The puppet of tests/fakes/puppet_cli.py as a program that can be started, and its models."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from juggernaut.domain.exchange import (
    ModelReply,
    ModelRequest,
    StopReason,
    ToolCall,
    Usage,
)
from juggernaut.domain.model import Json
from juggernaut.domain.purse import Landing

PUPPET = Path(__file__).resolve().parents[2] / "fakes" / "puppet_cli.py"
NOTE = "x is half made; look at it first"
Turn = tuple[str, Sequence[tuple[str, Json]]]


def puppet_program(folder: Path) -> Path:
    """Write the puppet as an executable file of its own."""
    program = folder / "claude"
    program.write_text(f"#!{sys.executable} -I\n{PUPPET.read_text()}")
    program.chmod(0o755)
    return program


class Model:
    """An asker that gives turns by their place in the conversation; an error is raised."""

    def __init__(self, turns: Sequence[Turn | BaseException]) -> None:
        """Learn the turns; the last one for ever."""
        self._turns = turns
        self.note: str | BaseException = NOTE
        self.requests: list[ModelRequest] = []

    @property
    def landings(self) -> int:
        """Count the landing turns."""
        return [request.landing for request in self.requests].count(Landing.TURN)

    async def __call__(self, request: ModelRequest) -> ModelReply:
        """Give the turn whose place it is; a landing gets a note, others without tools a word."""
        self.requests.append(request)
        if request.landing is Landing.TURN:
            if isinstance(self.note, BaseException):
                raise self.note
            return reply(self.note, ())
        if not request.tools:
            return reply("A title", ())
        place = sum(message.role == "assistant" for message in request.messages)
        turn = self._turns[min(place, len(self._turns) - 1)]
        if isinstance(turn, BaseException):
            raise turn
        calls = [ToolCall(f"call_{place}_{n}", *call) for n, call in enumerate(turn[1])]
        return reply(turn[0], calls)


def reply(text: str, calls: Sequence[ToolCall]) -> ModelReply:
    """Make a reply."""
    stop = StopReason.TOOL if calls else StopReason.END
    usage = Usage(7, 5, 3, 2)
    return ModelReply(text, tuple(calls), stop, usage, "scripted/turns", Decimal("0.001"))
