"""What was said so far in one execution, and what the loop counts about it."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace
from typing import Final

from juggernaut.coder.context import compact
from juggernaut.coder.record import Record
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
from juggernaut.domain.fit import fitting
from juggernaut.domain.landing import TRAIL_CHARS
from juggernaut.domain.purse import Landing
from juggernaut.domain.steady import DURATION

LAST_TURNS: Final = 3
TRAIL_CALLS: Final = 20
LONGEST_CYCLE: Final = 3
SHOWN_CHARS: Final = 500  # of a result, however full the turn is already
REPLY_PART: Final = 4  # a reply takes at most one of so many parts of a model's context
MAP_PART: Final = 8
RESULTS_PART: Final = 2


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
        self._record = Record()
        self._calls: deque[str] = deque(maxlen=LONGEST_CYCLE * limits.AGENT_REPEATS)
        self._reply_tokens, self._window = _room(request)
        self.trail: deque[str] = deque(maxlen=TRAIL_CALLS)
        self.turns = 0
        self.tool_uses = 0

    @property
    def map_bytes(self) -> int:
        """Give the room for a map of the repository."""
        return min(limits.MAP_BYTES, self._window // MAP_PART)

    def add_map(self, text: str) -> None:
        """Put a map into the first message, where it is part of what a provider caches."""
        first = self._messages[0]
        if text:
            self._messages[0] = replace(first, text=f"{first.text}\n\n{text}")

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
        self._compact()
        return ModelRequest(
            purpose="code",
            system=self._request.system,
            messages=tuple(self._messages),
            tools=SPECS,
            max_tokens=self._reply_tokens,
            timeout_seconds=limits.MODEL_SECONDS,
            landing=Landing.KEPT,
        )

    def _compact(self) -> None:
        """Leave old turns out if the conversation nears its window, and tell it."""
        kept = compact(self._messages, self._window, self._record.text)
        if len(kept) < len(self._messages):
            left = len(self._messages) - len(kept)
            self._tell(AgentEvent(EventKind.NOTE, f"{left} messages left out; a record is kept"))
        self._messages = list(kept)

    def hear(self, reply: ModelReply) -> None:
        """Add a reply; the calls of one that was cut off are dropped, they may be half."""
        ids = [call.id for call in reply.tool_calls]
        if "" in ids or len(set(ids)) < len(ids):
            raise ModelGarbled(f"{reply.model} sent tool calls without ids of their own: {ids}")
        self.turns += 1
        calls = () if reply.stop is StopReason.LENGTH else reply.tool_calls
        text = reply.text if reply.text.strip() or calls else "(no text)"
        self._messages.append(Message("assistant", text, tool_calls=calls))
        self._record.hear(self.turns, reply.text, calls)
        self._tell(AgentEvent(EventKind.TEXT, text))
        for call in calls:
            self._tell(AgentEvent(EventKind.TOOL, call.name))

    def show(self, call: ToolCall, used: Used) -> None:
        """Add what a call gave, and count it."""
        # One turn with many results must not push out everything else.
        room = self._window // RESULTS_PART - sum(len(json.dumps(r.text)) for r in self._results)
        plain = fitting(used.plain, max(room, SHOWN_CHARS))
        shown = replace(used, plain=plain).shown()
        self._results.append(ToolResult(call.id, shown, used.is_error))
        self._record.note(self.turns, call, used)
        facts = {"arguments": dict(call.arguments), "plain": used.plain}
        self._tell(AgentEvent(EventKind.RESULT, call.name, ok=not used.is_error, facts=facts))
        if not used.is_error and call.name != FINISH:
            self.tool_uses += 1
        arguments = json.dumps(call.arguments, sort_keys=True, default=str)
        this = f"{call.name} {arguments} {DURATION.sub('#', used.plain)}"
        self._calls.append(this)
        self.trail.append(f"{call.name} {arguments[:TRAIL_CHARS]} -> {used.plain[:TRAIL_CHARS]}")

    def repeats(self) -> bool:
        """Say whether the same calls, up to three in turn, gave the same things too many times."""
        calls = list(self._calls)
        for length in range(1, LONGEST_CYCLE + 1):
            last = calls[-length * limits.AGENT_REPEATS :]
            if len(last) == length * limits.AGENT_REPEATS and last == last[:length] * (
                limits.AGENT_REPEATS
            ):
                return True
        return False

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


def _room(request: AgentRequest) -> tuple[int, int]:
    """Give the tokens of a reply, and the characters that messages may take in the context."""
    if request.context_tokens is None:
        return limits.REPLY_TOKENS, limits.CONTEXT_CHARS
    reply = min(limits.REPLY_TOKENS, request.context_tokens // REPLY_PART)
    tools = [(tool.name, tool.description, tool.schema) for tool in SPECS]
    fixed = len(json.dumps([request.system, tools]))
    tokens = request.context_tokens - reply - limits.MODEL_OVERHEAD_TOKENS
    chars = tokens * limits.CONTEXT_CHARS_PER_TOKEN - fixed
    return reply, min(limits.CONTEXT_MOST_CHARS, max(chars, limits.CONTEXT_LEAST_CHARS))
