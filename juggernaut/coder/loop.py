"""The built-in code agent: ask, use the tools that the model asks for, show it what they gave.

It ends when the model calls finish after having done something, or at a bound: of turns, of time
or of the purse. There it has one landing turn for a note. What it says is never evidence: the
caller measures the work tree.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from juggernaut.coder.conversation import Conversation
from juggernaut.coder.landing import land
from juggernaut.coder.paths import WorkTree
from juggernaut.coder.repository import map_of
from juggernaut.coder.tools import FINISH, Toolbox, Used
from juggernaut.domain import limits
from juggernaut.domain.agents import Capabilities, OneEnd, Tell, silent
from juggernaut.domain.errors import BudgetExhausted
from juggernaut.domain.exchange import AgentRequest, AgentResult, StopReason, ToolCall
from juggernaut.ports import Asker, Sandbox

NUDGE: Final = "You called no tool. Go on with the tools; when the work is done, call finish."
SHORTER: Final = (
    "Your reply was cut off at the length limit and nothing of it was done. Be shorter: one small"
    " edit or one call at a time."
)
TOO_MANY: Final = (
    f"not done: at most {limits.TOOL_CALLS_PER_TURN} calls in one turn; repeat it in the next"
)
NOT_YET: Final = "not finished: another call of this turn failed; look at its result first"
CLAIMED: Final = "claimed success without using a tool"
REPEATED: Final = (
    "You made the same call several times with the same result. Do something else, or call finish"
    " and say what is in the way."
)


class BuiltinAgent:
    """Works in a tree with seven tools and any language model that can call them."""

    @property
    def name(self) -> str:
        """Give the name that stands in evidence and logs."""
        return "builtin"

    @property
    def capabilities(self) -> Capabilities:
        """Give what it can do: it counts its turns."""
        return Capabilities(turn_limit=True)

    async def execute(
        self, request: AgentRequest, ask: Asker, sandbox: Sandbox, tell: Tell = silent
    ) -> AgentResult:
        """Work until finished or at a bound; errors of the model are raised.

        So is that of a purse which cannot pay for the first turn: nothing is there to land.
        """
        hear = OneEnd(tell)
        try:
            result = await self._execute(Conversation(request, hear), request, ask, sandbox)
            hear.end(result.reason)
            return result
        finally:
            hear.end("stopped")

    async def _execute(
        self, talk: Conversation, request: AgentRequest, ask: Asker, sandbox: Sandbox
    ) -> AgentResult:
        """Work, and land at a bound."""
        tree = Path(request.worktree)
        tools = Toolbox(WorkTree(tree), sandbox)
        purse = None
        try:
            async with asyncio.timeout(request.timeout_seconds) as limit:
                talk.add_map(await map_of(tree, sandbox, request.prompt, talk.map_bytes))
                end = await self._work(talk, tools, ask)
            if end is not None:
                return end
            reason = f"out of turns after {talk.turns}"
        except TimeoutError:
            if not limit.expired():
                raise
            reason = f"out of time after {request.timeout_seconds:g} s"
        except BudgetExhausted as error:
            if talk.turns == 0:
                raise
            reason, purse = "the purse has only the landing turn left", str(error)
        return await land(talk, ask, reason, purse)

    async def _work(self, talk: Conversation, tools: Toolbox, ask: Asker) -> AgentResult | None:
        """Take turn after turn until one ends the work; None when there are no turns left."""
        while talk.turns_left > 0:
            reply = await ask(talk.request())
            talk.hear(reply)
            if reply.stop is StopReason.LENGTH:
                end = talk.warn_once("cut", SHORTER, "replies are too long")
            elif not reply.tool_calls:
                reason = "stopped without finishing" if talk.tool_uses else CLAIMED
                end = talk.warn_once("silent", NUDGE, reason)
            else:
                end = await self._use_tools(talk, tools, reply.tool_calls)
            if end is not None:
                return end
        return None

    async def _use_tools(
        self, talk: Conversation, tools: Toolbox, calls: tuple[ToolCall, ...]
    ) -> AgentResult | None:
        """Do the calls of one turn in order; finish counts only if the others went well."""
        talk.settle()
        failed = False
        for place, call in enumerate(calls):
            if place >= limits.TOOL_CALLS_PER_TURN:
                used = Used(TOO_MANY, is_error=True)
            elif call.name == FINISH and failed:
                used = Used(NOT_YET, is_error=True)
            else:
                used = await tools.use(call)
            if call.name == FINISH and not used.is_error:
                return talk.ended("finished" if talk.tool_uses else CLAIMED, summary=used.plain)
            failed = failed or used.is_error
            talk.show(call, used)
        if talk.repeats():
            return talk.warn_once("repeats", REPEATED, "repeats itself")
        return None
