"""What an agent told in one run, and whether that amounts to finished work.

Its word is never evidence: the diff is measured by git. This only says whether to look at it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

from juggernaut.domain import limits, redact
from juggernaut.domain.agents import AgentEvent, EventKind
from juggernaut.domain.model import Json

CLAIMED: Final = "claimed success without using a tool"
SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class End:
    """One terminal word of an agent."""

    ok: bool
    text: str


@dataclass(slots=True)
class Story:
    """What was told so far."""

    session: str | None = None
    said: str = ""
    plain: str = ""
    tool_uses: int = 0
    denied: list[str] = field(default_factory=list)
    bound: str | None = None
    ends: list[End] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def text(self, text: str) -> AgentEvent:
        """Take what the agent said."""
        self.said = redact.scrub(text, limit=limits.LANDING_NOTE_CHARS)
        return AgentEvent(EventKind.TEXT, self.said)

    def tool(self, name: str, place: str = "") -> AgentEvent:
        """Take that a tool is used; `place` is the id of the call."""
        name = redact.scrub(name, limit=limits.QUALITY_HINT_CHARS)
        if len(self.names) < limits.PLANNED_FILES:
            self.names[place] = name
        return AgentEvent(EventKind.TOOL, name)

    def result(self, place: str, *, ok: bool) -> AgentEvent:
        """Take that a tool gave something."""
        self.tool_uses += ok
        return AgentEvent(EventKind.RESULT, self.names.get(place, place), ok)

    def refused(self, what: str) -> AgentEvent:
        """Take that something was not allowed."""
        what = redact.scrub(what, limit=limits.QUALITY_HINT_CHARS)
        if len(self.denied) < limits.AGENT_NOTES:
            self.denied.append(what)
        return AgentEvent(EventKind.DENIED, what, ok=False)

    def ended(self, text: str, *, ok: bool) -> None:
        """Take a terminal word."""
        self.ends.append(End(ok, redact.scrub(text, limit=limits.EXCERPT_CHARS)))

    def problem(self, exit_code: int, output: str) -> str | None:
        """Say why this is no finished work; None when it is."""
        if len(self.ends) != 1:
            last = redact.scrub(output.strip() or self.plain, limit=limits.MODEL_ERROR_CHARS)
            said = f": {last}" if last else ""
            return f"gave {len(self.ends)} results instead of one, exit code {exit_code}{said}"
        if not self.ends[0].ok:
            return self.ends[0].text or f"failed with exit code {exit_code}"
        if exit_code != 0:
            return f"said that it was done and ended with exit code {exit_code}"
        if self.denied:
            return f"was not allowed to do what it wanted: {', '.join(self.denied[:SHOWN])}"
        return None if self.tool_uses else CLAIMED


def read_line(line: bytes, story: Story) -> Json | None:
    """Read a line as a JSON object; what is none is kept as plain text, the newest of it."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    story.plain = line[: limits.EXCERPT_CHARS].decode(errors="replace")
    return None


def inner(value: object) -> Json:
    """Give a JSON object, an empty one for anything else: agents change what they send."""
    return value if isinstance(value, dict) else {}


def many(value: object) -> list[Json]:
    """Give the JSON objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def word(value: object) -> str:
    """Give a string, an empty one for anything else."""
    return value if isinstance(value, str) else ""
