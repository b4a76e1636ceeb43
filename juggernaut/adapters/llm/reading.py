"""What both wire formats are read into, before it has a price."""

from __future__ import annotations

from dataclasses import dataclass

from juggernaut.domain.exchange import StopReason, ToolCall, Usage


@dataclass(frozen=True, slots=True)
class Reading:
    """A reply as it stood on the wire; `usage` is None when the provider gave no usable count."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    stop: StopReason
    usage: Usage | None
    model: str
