"""A model and a code agent that do what the test says: obedient, whatever that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from juggernaut.domain.agents import Capabilities, Tell, silent
from juggernaut.domain.errors import ModelRefused
from juggernaut.domain.exchange import (
    AgentRequest,
    AgentResult,
    ModelReply,
    ModelRequest,
    StopReason,
    ToolCall,
    Usage,
)
from juggernaut.domain.model import Json
from juggernaut.ports import Asker, Choice, Sandbox

Reply = ModelReply | BaseException


def answer(arguments: Json, tool: str = "answer") -> ModelReply:
    """Make a reply that calls one tool."""
    return ModelReply(
        text="",
        tool_calls=(ToolCall("call_1", tool, arguments),),
        stop=StopReason.TOOL,
        usage=Usage(input_tokens=10, output_tokens=5),
        model="puppet/one",
        cost_usd=Decimal("0.002"),
    )


def edit(path: str, old: str, new: str) -> ModelReply:
    """Make a reply that reads a file and changes it: nothing is edited unread."""
    calls = (
        ToolCall("call_0", "read", {"path": path}),
        ToolCall("call_1", "edit", {"path": path, "old": old, "new": new}),
    )
    return replace(answer({}), tool_calls=calls)


def says(text: str) -> ModelReply:
    """Make a reply that is only text."""
    return ModelReply(text, (), StopReason.END, Usage(10, 5), "puppet/one", Decimal("0.002"))


class PuppetModel:
    """Gives the replies of each purpose in turn, the last one for ever; remembers the requests."""

    def __init__(self, replies: Mapping[str, Sequence[Reply]]) -> None:
        """Learn the replies by purpose."""
        self._replies = {purpose: list(given) for purpose, given in replies.items()}
        self.requests: list[ModelRequest] = []

    @property
    def name(self) -> str:
        """Give the name of the model."""
        return "puppet/one"

    def for_purpose(self, purpose: str) -> Sequence[Choice]:
        """Answer for every purpose."""
        return (Choice(self),)

    def named(self, name: str) -> Sequence[Choice]:
        """Answer to every name."""
        return (Choice(self),)

    def max_price(self, request: ModelRequest) -> Decimal:
        """Give a price."""
        return Decimal("0.01")

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Answer, or fail as told."""
        self.requests.append(request)
        left = self._replies.get(request.purpose)
        if not left:
            raise ModelRefused(f"the puppet has no reply for {request.purpose}")
        reply = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reply, BaseException):
            raise reply
        return reply


class PuppetAgent:
    """Writes the files it is told to, once per call in turn, the last ones for ever."""

    def __init__(self, *drafts: Mapping[str, str | None]) -> None:
        """Learn the drafts: path to text, or None for a file that is deleted."""
        self._drafts = list(drafts)
        self.requests: list[AgentRequest] = []
        self.finished = True
        self.tool_uses = 3
        self.before: Callable[[], None] | None = None

    @property
    def name(self) -> str:
        """Give the name of the agent."""
        return "puppet"

    @property
    def capabilities(self) -> Capabilities:
        """Give what it can do: nothing special."""
        return Capabilities()

    async def execute(
        self, request: AgentRequest, ask: Asker, sandbox: Sandbox, tell: Tell = silent
    ) -> AgentResult:
        """Write the next draft."""
        self.requests.append(request)
        if self.before is not None:
            self.before()
        draft = self._drafts.pop(0) if len(self._drafts) > 1 else self._drafts[0]
        for name, text in draft.items():
            path = Path(request.worktree, name)
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        reason = "" if self.finished else "out of turns after 40"
        return AgentResult(self.finished, "All done, trust me.", 4, self.tool_uses, reason)
