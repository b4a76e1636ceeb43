"""The record of a run, composed by code: what was said, changed, run and read, newest first kept.

It is what a compacted conversation still knows of its old turns. No model is asked for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from juggernaut.coder.tools import Used
from juggernaut.domain.exchange import ToolCall
from juggernaut.domain.fit import newest
from juggernaut.domain.model import Json
from juggernaut.domain.redact import shorten

PASSED: Final = "exit code 0"
PLAN_CHARS: Final = 1_200
SAID_CHARS: Final = 240
LINE_CHARS: Final = 160
TELLING_LINES: Final = 8
WORDS: Final = ("fail", "error", "assert")
ERRORS: Final = 5
SAID_KEPT: Final = 40
CHANGING: Final = frozenset({"edit", "write"})
# Of the room for the record, in the order in which they stand.
SHARES: Final = {
    "The plan, as you first said it": 0.15,
    "What you said when you changed files": 0.25,
    "What you said besides (newest last)": 0.1,
    "Files that you changed": 0.2,
    "Commands, each as it last ended": 0.2,
    "Files that you read (newest last)": 0.06,
    "The newest calls that were refused": 0.04,
}


class Record:
    """What the turns of one execution came to."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._plan = ""
        self._decided: deque[str] = deque(maxlen=SAID_KEPT)
        self._said: deque[str] = deque(maxlen=SAID_KEPT)
        self._changed: dict[str, str] = {}
        self._times: dict[str, int] = {}
        self._ran: dict[str, str] = {}
        self._read: dict[str, str] = {}
        self._refused: deque[str] = deque(maxlen=ERRORS)

    def hear(self, turn: int, text: str, calls: Iterable[ToolCall]) -> None:
        """Note what the model said in a turn; beside a change it is what was decided."""
        said = " ".join(text.split())
        if not self._plan:
            self._plan = shorten(text.strip(), PLAN_CHARS)
        elif said:
            decided = any(call.name in CHANGING for call in calls)
            lines = self._decided if decided else self._said
            lines.append(f"turn {turn}: {shorten(said, SAID_CHARS)}")

    def note(self, turn: int, call: ToolCall, used: Used) -> None:
        """Note what a call did."""
        path = str(call.arguments.get("path", "."))
        if used.is_error:
            told = shorten(" ".join(used.plain.split()), SAID_CHARS)
            self._refused.append(f"turn {turn}: {call.name} {path}: {told}")
        elif call.name in CHANGING:
            self._times[path] = self._times.get(path, 0) + 1
            _renew(self._changed, path, f"{path}: {self._times[path]} times, last in turn {turn}")
        elif call.name == "read":
            _renew(self._read, path, f"{path}{_range(call.arguments)}, turn {turn}")
        elif call.name == "run":
            argv = call.arguments.get("argv")
            command = " ".join(map(str, argv)) if isinstance(argv, list) else ""
            command = shorten(command, SAID_CHARS)
            _renew(self._ran, command, f"{command} (turn {turn}): {_ended(used.plain)}")

    def text(self, most_chars: int) -> str:
        """Give the record in at most so many characters; of what is too long, the newest."""
        parts: tuple[Iterable[str], ...] = (
            [self._plan] if self._plan else [],
            self._decided,
            self._said,
            self._changed.values(),
            self._ran.values(),
            self._read.values(),
            self._refused,
        )
        told: list[str] = []
        for (title, share), lines in zip(SHARES.items(), parts, strict=True):
            kept = newest(lines, int(most_chars * share) - len(title) - 2)
            if kept:
                told += [f"{title}:", *kept]
        return "\n".join(told)


def _renew(lines: dict[str, str], key: str, line: str) -> None:
    """Set a line and put it last."""
    lines.pop(key, None)
    lines[key] = line


def _range(given: Json) -> str:
    """Give the lines of a file that a call asked for."""
    start, count = given.get("start", 1), given.get("lines")
    return f" from line {start}" + (f", {count} lines" if count else "")


def _ended(plain: str) -> str:
    """Give how a command ended; of one that failed, the lines that tell why."""
    head, _, output = plain.partition("\n")
    if head == PASSED:
        return head
    lines = [line.strip()[:LINE_CHARS] for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line.lower() for word in WORDS)]
    return "\n  ".join([head, *(telling or lines)[-TELLING_LINES:]])
