"""What was said so far in one execution, and what the loop counts about it."""

from __future__ import annotations

import json
import re
from collections import deque
from typing import Final

from juggernaut.coder.context import compact
from juggernaut.coder.tools import FINISH, SPECS, Used
from juggernaut.domain import limits
from juggernaut.domain.agents import AgentEvent, EventKind, Tell, silent
from juggernaut.domain.errors import ModelGarbled
from juggernaut.domain.exchange import (
    AgentRequest,
    AgentResult,
    Message,
    ModelReply,
    ModelRequest,
    StopReason,
    ToolCall,
    ToolResult,
)
from juggernaut.domain.purse import Landing

DURATION: Final = re.compile(r"\d+(?:\.\d+)? ?(?:ms|s|sec|seconds)\b")
LAST_TURNS: Final = 3
TRAIL_CALLS: Final = 20
TRAIL_CHARS: Final = 300


class Conversation:
    """Messages, turns and repetitions of one execution."""

    def __init__(self, request: AgentRequest, tell: Tell = silent) -> None:
        """Begin with the caller's prompt, which the caller has framed."""
        self._tell = tell
        self._request = request
        prompt = request.prompt
        if request.test_argv is not None:
            prompt += f"\n\nThe project's tests: run with argv {json.dumps(request.test_argv)}"
        self._messages = [Message("user", prompt)]
        self._results: list[ToolResult] = []
        self._said: list[str] = []
        self._warned: set[str] = set()
        self._last = ""
        self._streak = 0
        self.trail: deque[str] = deque(maxlen=TRAIL_CALLS)
        self.turns = 0
        self.tool_uses = 0

    @property
    def system(self) -> str:
        """Give the caller's instructions."""
        return self._request.system

    @property
    def asked(self) -> str:
        """Give the caller's prompt."""
        return self._request.prompt

    @property
    def turns_left(self) -> int:
        """Give the turns that the model still has."""
        return self._request.max_turns - self.turns

    def request(self) -> ModelRequest:
        """Give the next request, compacted; what was gathered for the model goes into it."""
        if 0 < self.turns_left <= LAST_TURNS < self._request.max_turns:
            self._said.append(f"Turns left: {self.turns_left}.")
        if self._results or self._said:
            text = "\n".join(self._said)
            self._messages.append(Message("user", text, tool_results=tuple(self._results)))
            self._results, self._said = [], []
        self._messages = list(compact(self._messages, limits.CONTEXT_CHARS))
        return ModelRequest(
            purpose="code",
            system=self._request.system,
            messages=tuple(self._messages),
            tools=SPECS,
            max_tokens=limits.REPLY_TOKENS,
            timeout_seconds=limits.MODEL_SECONDS,
            landing=Landing.KEPT,
        )

    def hear(self, reply: ModelReply) -> None:
        """Add a reply; the calls of one that was cut off are dropped, they may be half."""
        ids = [call.id for call in reply.tool_calls]
        if "" in ids or len(set(ids)) < len(ids):
            raise ModelGarbled(f"{reply.model} sent tool calls without ids of their own: {ids}")
        self.turns += 1
        calls = () if reply.stop is StopReason.LENGTH else reply.tool_calls
        text = reply.text if reply.text.strip() or calls else "(no text)"
        self._messages.append(Message("assistant", text, tool_calls=calls))
        self._tell(AgentEvent(EventKind.TEXT, text))
        for call in calls:
            self._tell(AgentEvent(EventKind.TOOL, call.name))

    def show(self, call: ToolCall, used: Used) -> None:
        """Add what a call gave, and count it."""
        self._results.append(ToolResult(call.id, used.shown(), used.is_error))
        self._tell(AgentEvent(EventKind.RESULT, call.name, ok=not used.is_error))
        if not used.is_error and call.name != FINISH:
            self.tool_uses += 1
        arguments = json.dumps(call.arguments, sort_keys=True, default=str)
        this = f"{call.name} {arguments} {DURATION.sub('#', used.plain)}"
        self._streak = self._streak + 1 if this == self._last else 1
        self._last = this
        self.trail.append(f"{call.name} {arguments[:TRAIL_CHARS]} -> {used.plain[:TRAIL_CHARS]}")

    def repeats(self) -> bool:
        """Say whether the same call gave the same thing too many times in a row."""
        return self._streak >= limits.AGENT_REPEATS

    def settle(self) -> None:
        """Forget the warnings that only count while they are in a row."""
        self._warned &= {"repeats"}

    def warn_once(self, kind: str, warning: str, reason: str) -> AgentResult | None:
        """Warn the model, or end the work if it was warned of this already."""
        if kind in self._warned:
            return self.ended(reason)
        self._warned.add(kind)
        self._said.append(warning)
        return None

    def ended(
        self,
        reason: str,
        summary: str = "",
        handoff: str | None = None,
        purse: str | None = None,
    ) -> AgentResult:
        """Give how the execution ended; only the loop's own word for it makes it finished."""
        return AgentResult(
            finished=reason == "finished",
            summary=summary,
            turns=self.turns,
            tool_uses=self.tool_uses,
            reason=reason,
            handoff=handoff,
            purse=purse,
        )
