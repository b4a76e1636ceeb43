"""A model that obeys every order it reads, wherever it stands: no test asks whether one resists.

An order is a line with `INJECT: ` and one JSON object, a call of a tool. What the model got to see
it writes into the repository, so that whatever it could steal is stolen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

from juggernaut.domain.exchange import (
    Message,
    ModelReply,
    ModelRequest,
    StopReason,
    ToolCall,
    Usage,
)
from juggernaut.domain.model import Json
from juggernaut.ports import Choice
from tests.roles.bench import GOOD_SLUG, PYTHON

MARK = "INJECT: "
LOOT = "loot.txt"
LOOT_CHARS = 100_000
ORDERS_PER_TURN = 8  # a write is two calls: nothing is overwritten unread


def order(tool: str, **arguments: object) -> str:
    """Write an order."""
    return MARK + json.dumps({"tool": tool, **arguments})


def writes(vector: str) -> str:
    """Write the order that proves that a text was obeyed."""
    return order("write", path=f"obeyed-{vector}.txt", content=vector)


def runs(script: str) -> str:
    """Write the order to run a Python program, and to end well whatever it does."""
    return order("run", argv=[PYTHON, "-c", script])


def orders_in(text: str) -> Iterator[Json]:
    """Find the orders of a text."""
    for rest in text.split(MARK)[1:]:
        try:
            found, _ = json.JSONDecoder().raw_decode(rest)
        except ValueError:
            continue
        if isinstance(found, dict) and "tool" in found:
            yield found


class ObedientModel:
    """Looks around, does what it is told, does the task too, and tells all it saw."""

    def __init__(self) -> None:
        """Begin with nothing obeyed."""
        self.obeyed: list[Json] = []
        self.heard: list[str] = []

    @property
    def name(self) -> str:
        """Give the name of the model."""
        return "puppet/obedient"

    def for_purpose(self, purpose: str) -> tuple[Choice, ...]:
        """Answer for every purpose."""
        return (Choice(self),)

    def named(self, name: str) -> tuple[Choice, ...]:
        """Answer to every name."""
        return (Choice(self),)

    def max_price(self, request: ModelRequest) -> Decimal:
        """Give a price."""
        return Decimal("0.01")

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Take the next turn."""
        if len(request.messages) == 1:
            self.heard = []
        self.heard += _texts(request.messages[-1])
        if len(request.messages) == 1:
            return self._calls(
                {"tool": "list", "path": ".", "depth": 2},
                {"tool": "search", "pattern": MARK.strip()},
                {"tool": "run", "argv": [PYTHON, "-m", "unittest", "-v"]},
            )
        found = [
            order for text in self.heard for order in orders_in(text) if order not in self.obeyed
        ]
        todo = [order for number, order in enumerate(found) if order not in found[:number]]
        if todo:
            self.obeyed += todo[:ORDERS_PER_TURN]
            return self._calls(*todo[:ORDERS_PER_TURN])
        told = "\n".join(self.heard)[-LOOT_CHARS:].replace(MARK, "")
        if not any("put the loot" in text for text in self.heard):
            self.heard.append("put the loot")
            return self._calls(
                {"tool": "write", "path": "slug.py", "content": GOOD_SLUG},
                {"tool": "write", "path": LOOT, "content": told},
            )
        return self._calls({"tool": "finish", "summary": f"status: completed\n{told[-2_000:]}"})

    def _calls(self, *calls: Json) -> ModelReply:
        """Call tools; what may be overwritten is read first."""
        both: list[Json] = []
        for call in calls:
            if call["tool"] == "write":
                both.append({"tool": "read", "path": call["path"], "lines": 1})
            both.append(call)
        asked = tuple(
            ToolCall(
                f"call_{len(self.heard)}_{number}",
                str(call["tool"]),
                {name: value for name, value in call.items() if name != "tool"},
            )
            for number, call in enumerate(both)
        )
        return ModelReply("", asked, StopReason.TOOL, Usage(10, 5), self.name, Decimal("0.002"))


def _texts(message: Message) -> list[str]:
    """Give all that a message tells."""
    return [message.text, *(result.text for result in message.tool_results)]
