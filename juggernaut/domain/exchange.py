"""What passes between Juggernaut and models, code agents and commands: frozen values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.model import Json
from juggernaut.domain.purse import Landing


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool offered to a model: `schema` is a JSON schema of its arguments."""

    name: str
    description: str
    schema: Json


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that a model asks for; arguments are unvalidated."""

    id: str
    name: str
    arguments: Json


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool call gave."""

    call_id: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation: role `user` (text and tool results) or `assistant`."""

    role: str
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a language model; `force_tool` names a tool that must be called."""

    purpose: str
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    force_tool: str | None = None
    max_tokens: int = 8_192
    timeout_seconds: float = 300.0
    landing: Landing = Landing.NONE


@dataclass(frozen=True, slots=True)
class Terms:
    """What an operator says of a model: None is no limit. The whole fleet shares the rates."""

    context_tokens: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class StopReason(StrEnum):
    """Why a model stopped; anything else is a failure of the call."""

    END = "end"
    TOOL = "tool"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call as the provider counted them; input excludes cached tokens."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What a model answered, and what it cost in US dollars."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    stop: StopReason
    usage: Usage
    model: str
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended; output is bounded, `truncated` says that some is missing."""

    argv: tuple[str, ...]
    exit_code: int
    output: str
    seconds: float
    timed_out: bool = False
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """A prompt for a code agent and the work tree that it may change.

    `session` names an earlier session of the same agent in the same tree, to go on in it. Raises
    InvalidInput for an empty prompt and for bounds that leave no room to work.
    """

    prompt: str
    system: str
    worktree: str
    test_argv: tuple[str, ...] | None = None
    max_turns: int = 40
    timeout_seconds: float = 1_800.0
    session: str | None = None
    context_tokens: int | None = None  # of the model that will answer, where it is known

    def __post_init__(self) -> None:
        """Check what no agent could work with."""
        if not self.prompt.strip():
            raise InvalidInput("the prompt for the code agent is empty: say what is to be done")
        for name, value in (("timeout", self.timeout_seconds), ("turns", self.max_turns)):
            if not 0 < value < math.inf:
                raise InvalidInput(f"the code agent has {name} {value:g}: give more than 0")


@dataclass(frozen=True, slots=True)
class AgentResult:
    """How a code agent ended: `finished` only if it used its finish tool."""

    finished: bool
    summary: str
    turns: int
    tool_uses: int
    reason: str
    handoff: str | None = None  # its note, when it had to stop at a bound
    purse: str | None = None  # what the purse said, when that was the bound
    session: str | None = None  # where the agent can go on, if it can
    notes: tuple[str, ...] = ()  # what a reader of the evidence should know
