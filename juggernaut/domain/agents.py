"""What a code agent can do, and what it tells while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from juggernaut.domain.model import Json


class EventKind(StrEnum):
    """What an event is about; `ended` is the last one, and there is one of it."""

    STARTED = "started"
    TEXT = "text"
    TOOL = "tool"
    RESULT = "result"
    DENIED = "denied"
    RETRY = "retry"
    NOTE = "note"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """One thing that an agent told; `ok` is False for a result that is an error.

    `facts`: arguments and plain result of a tool, from an agent that knows them.
    """

    kind: EventKind
    text: str = ""
    ok: bool = True
    facts: Json | None = None


Tell: TypeAlias = Callable[[AgentEvent], None]


def silent(event: AgentEvent) -> None:
    """Take an event that nobody wants."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an agent can do besides changing a tree.

    resume: go on in an earlier session; permissions: it asks before it does what is not allowed,
    and is answered; turn_limit: it counts turns itself, besides the cap on its model calls;
    prompt: the file of config/prompts that tells it how to work.
    """

    resume: bool = False
    permissions: bool = False
    turn_limit: bool = False
    prompt: str = "coder"


class OneEnd:
    """Passes events on, and sees to it that exactly one of them is the end."""

    def __init__(self, tell: Tell) -> None:
        """Pass on to `tell`."""
        self._tell = tell
        self._over = False

    def __call__(self, event: AgentEvent) -> None:
        """Pass one event on, unless the end was told already."""
        if not self._over:
            self._over = event.kind is EventKind.ENDED
            self._tell(event)

    def end(self, reason: str) -> None:
        """Tell the end, if nobody has."""
        self(AgentEvent(EventKind.ENDED, reason))
