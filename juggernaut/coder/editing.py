"""The tools that change files: an exact replacement, or a whole file."""

from __future__ import annotations

import difflib
from typing import Final

from juggernaut.coder import bounds
from juggernaut.coder.paths import Missing, Parts, WorkTree
from juggernaut.coder.seen import Seen
from juggernaut.domain.errors import InvalidInput

SHOWN_MATCHES: Final = 5
SHOWN_LINES: Final = 12
LINES_BEFORE: Final = 3
COMPARED_LINES: Final = 5_000
COMPARED_CHARS: Final = 200
LIKENESS: Final = 0.6


class NoMatch(InvalidInput):
    """What was looked for is not there; `lines` has the numbered lines that are most like it."""

    def __init__(self, message: str, lines: str) -> None:
        """Keep both apart: the lines are data."""
        super().__init__(message)
        self.lines = lines


def replace_once(tree: WorkTree, seen: Seen, parts: Parts, old: str, new: str) -> str:
    """Replace the only place where `old` stands; raises InvalidInput with what is there."""
    if not old:
        raise InvalidInput("old is empty; to make a file or fill it anew use write")
    if old == new:
        raise InvalidInput("old and new are the same; nothing would change")
    text = tree.read(parts)
    seen.check(parts, text)
    if "\r\n" in text and "\r\n" not in old:
        # The model saw the lines without their carriage returns.
        old, new = (part.replace("\n", "\r\n") for part in (old, new.replace("\r\n", "\n")))
    count = text.count(old)
    name = "/".join(parts)
    if count == 0:
        told, lines = _nearest(text, old)
        raise NoMatch(f"old matches nowhere in {name}. {told}", lines)
    if count > 1:
        places = ", ".join(map(str, _places(text, old)))
        raise InvalidInput(
            f"old matches {count} times in {name} (first at lines {places}); add lines around"
            " it so that it matches once"
        )
    changed = text.replace(old, new, 1)
    size = tree.write(parts, changed)
    seen.note(parts, changed)
    line = text[: text.index(old)].count("\n") + 1
    return f"replaced at line {line} of {name}, now {size} bytes"


def write_file(tree: WorkTree, seen: Seen, parts: Parts, content: str) -> str:
    """Make a file, or put other content in one that was read; missing folders are made."""
    try:
        before = tree.read(parts) if parts else None
    except Missing:
        before = None
    if before is not None:
        seen.check(parts, before)
    size = tree.write(parts, content)
    seen.note(parts, content)
    return f"wrote {size} bytes to {'/'.join(parts)}"


def _places(text: str, old: str) -> list[int]:
    """Give the line numbers where a text stands, without overlaps."""
    found: list[int] = []
    at = text.find(old)
    while at >= 0 and len(found) < SHOWN_MATCHES:
        found.append(text.count("\n", 0, at) + 1)
        at = text.find(old, at + len(old))
    return found


def _nearest(text: str, old: str) -> tuple[str, str]:
    """Say where the place is that is most like what was looked for, and show its lines."""
    wanted = [line.strip()[:COMPARED_CHARS] for line in old.strip().split("\n")]
    lines = [line.strip()[:COMPARED_CHARS] for line in text.split("\n")[:COMPARED_LINES]]
    if not wanted[0]:
        return "It has nothing but white space; give the lines to replace.", ""
    for place in range(len(lines)):
        if lines[place : place + len(wanted)] == wanted:
            return f"Line {place + 1} has it with other white space.", _shown(text, place)
    close = difflib.get_close_matches(wanted[0], lines, 1, LIKENESS)
    if not close:
        return "No line is like its first line: read the file again.", ""
    place = lines.index(close[0])
    return f"The nearest to its first line is line {place + 1}.", _shown(text, place)


def _shown(text: str, place: int) -> str:
    """Give some numbered lines around a place, as read gives them."""
    start = max(place - LINES_BEFORE, 0)
    lines = bounds.clean(text).split("\n")[start : start + SHOWN_LINES]
    return "\n".join(
        f"{number}\t{bounds.line(line)}" for number, line in enumerate(lines, start + 1)
    )
