"""Goes along a recorded run beside a new one, and keeps the first thing that differs."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from juggernaut.domain.agents import AgentEvent, EventKind
from juggernaut.domain.cassette import Exchange, Run, request_facts
from juggernaut.domain.digest import digest_of
from juggernaut.domain.exchange import AgentResult, ModelReply, ModelRequest, ToolCall
from juggernaut.domain.limits import CONTEXT_CHARS, TAPE_TEXT_CHARS
from juggernaut.domain.model import Json
from juggernaut.domain.redact import Secret, scrub
from juggernaut.domain.steady import in_tree, steady

DIFF_LINES: Final = 40
DIFF_LINE_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first thing that differs: at which step, in what, and the two texts."""

    step: int
    what: str
    expected: str
    came: str
    altered: bool = False

    def told(self) -> str:
        """Say it in one line."""
        said = f"step {self.step}: {self.what} differs"
        return f"{said}; a secret was taken out of the recorded reply" if self.altered else said

    def diff(self) -> list[str]:
        """Give the difference line by line, bounded."""
        lines = difflib.unified_diff(
            self.expected.splitlines(), self.came.splitlines(), "recorded", "now", n=1, lineterm=""
        )
        shown = [line[:DIFF_LINE_CHARS] for line, _ in zip(lines, range(DIFF_LINES), strict=False)]
        return shown if len(shown) < DIFF_LINES else [*shown, "..."]


class Follower:
    """One recorded run, the work tree of the new one, and how far they are the same."""

    def __init__(self, run: Run, tree: str, secrets: tuple[Secret, ...] = ()) -> None:
        """Begin at the start of both."""
        self._run = run
        self.tree = tree
        self._secrets = secrets
        self._place = -1
        self._used = 0
        self.divergence: Divergence | None = None

    @property
    def step(self) -> int:
        """Give the step that the new run is at; 0 before its first."""
        return self._run.exchanges[self._place].step if self._place >= 0 else 0

    @property
    def followed(self) -> int:
        """Give how many recorded model calls were answered."""
        return self._place + 1

    def next(self, request: ModelRequest) -> Exchange | None:
        """Give the recorded exchange for a request; None when they differ or the record stops."""
        self._check_used()
        if self.divergence is not None:
            return None
        asked = request_facts(request, self.tree, self._secrets, CONTEXT_CHARS)
        if self._place + 1 >= len(self._run.exchanges):
            if self._run.end is not None:
                self._differ("the end", _words(self._run.end), "one more request to the model")
            return None
        self._place += 1
        self._used = 0
        exchange = self._run.exchanges[self._place]
        if digest_of(asked) != exchange.digest:
            self._differ("the request to the model", _shown(exchange.request), _shown(asked))
            return None
        return exchange

    def hear(self, event: AgentEvent) -> None:
        """Compare what a tool gave with what it gave then."""
        if event.kind is not EventKind.RESULT or event.facts is None or self._place < 0:
            return
        tools = self._run.exchanges[self._place].tools
        self._used += 1
        if self._used > len(tools):
            # Where the record stops, nothing is known of what its last tools gave.
            if self._run.end is not None or self._place + 1 < len(self._run.exchanges):
                self._differ(f"tool {event.text}", "(not used)", str(event.facts["plain"]))
            return
        then = tools[self._used - 1]
        came = told_result(str(event.facts["plain"]), self.tree, self._secrets)
        if (then.result, then.is_error) != (came, not event.ok):
            self._differ(f"tool {event.text}", _marked(then.result, then.is_error), came)

    def ended(self, result: AgentResult) -> None:
        """Compare the ends; a record that stops before its end has none."""
        self._check_used()
        if self._run.end is None:
            return
        came = end_facts(result)
        then = {name: self._run.end.get(name) for name in came}
        if came != then:
            self._differ("the end", _words(then), _words(came))

    def _check_used(self) -> None:
        """Notice a tool that was used then and not now."""
        if self._place < 0 or self.divergence is not None:
            return
        left = self._run.exchanges[self._place].tools[self._used :]
        if left:
            self._differ(f"tool {left[0].name}", left[0].result, "(not used)")

    def _differ(self, what: str, expected: str, came: str) -> None:
        """Keep the first difference."""
        if self.divergence is None:
            altered = self._place >= 0 and self._run.exchanges[self._place].altered
            self.divergence = Divergence(self.step, what, expected, came, altered)


def said_in(reply: ModelReply, tree: str) -> ModelReply:
    """Give a recorded reply as it would have been said of this work tree."""
    return replace(
        reply,
        text=str(in_tree(reply.text, tree)),
        tool_calls=tuple(_called_in(call, tree) for call in reply.tool_calls),
    )


def _called_in(call: ToolCall, tree: str) -> ToolCall:
    """Give a recorded call as it would have been made in this work tree."""
    found = in_tree(call.arguments, tree)
    return replace(call, arguments=found if isinstance(found, dict) else {})


def told_result(plain: str, tree: str, secrets: tuple[Secret, ...]) -> str:
    """Give what a tool gave as it is written and compared."""
    return scrub(steady(plain, tree), secrets, TAPE_TEXT_CHARS)


def end_facts(result: AgentResult) -> dict[str, object]:
    """Give how a run ended, as it is written and compared."""
    return {
        "finished": result.finished,
        "reason": result.reason,
        "turns": result.turns,
        "tool_uses": result.tool_uses,
    }


def _marked(text: str, is_error: bool) -> str:
    """Mark a result that was an error."""
    return f"{text}\n[an error]" if is_error else text


def _words(told: Json) -> str:
    """Give some facts, one a line."""
    return "\n".join(f"{name}: {value}" for name, value in told.items() if name != "kind")


def _shown(request: Json) -> str:
    """Give a request line by line."""
    return "\n".join(_lines(request, ""))


def _lines(value: object, place: str) -> Iterator[str]:
    """Yield the texts of a JSON value, each line with its place."""
    if isinstance(value, dict):
        for name in sorted(value):
            yield from _lines(value[name], f"{place}.{name}" if place else name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _lines(item, f"{place}[{number}]")
    elif isinstance(value, str):
        yield from (f"{place}: {line}" for line in value.splitlines())
    else:
        yield f"{place}: {json.dumps(value)}"
