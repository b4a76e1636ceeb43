"""The tools that change files: an exact replacement, or a whole file."""

from __future__ import annotations

import difflib
from typing import Final

from juggernaut.coder import bounds
from juggernaut.coder.paths import Parts, WorkTree
from juggernaut.domain.errors import InvalidInput

SHOWN_MATCHES: Final = 5
COMPARED_LINES: Final = 5_000
COMPARED_CHARS: Final = 200
LIKENESS: Final = 0.6


def replace_once(tree: WorkTree, parts: Parts, old: str, new: str) -> str:
    """Replace the only place where `old` stands; raises InvalidInput with what is there."""
    if not old:
        raise InvalidInput("old is empty; to make a file or fill it anew use write")
    if old == new:
        raise InvalidInput("old and new are the same; nothing would change")
    text = tree.read(parts)
    if "\r\n" in text and "\r\n" not in old:
        # The model saw the lines without their carriage returns.
        old, new = (part.replace("\n", "\r\n") for part in (old, new.replace("\r\n", "\n")))
    count = text.count(old)
    name = "/".join(parts)
    if count == 0:
        raise InvalidInput(f"old matches nowhere in {name}. {_nearest(text, old)}")
    if count > 1:
        places = ", ".join(map(str, _places(text, old)))
        raise InvalidInput(
            f"old matches {count} times in {name} (first at lines {places}); add lines around"
            " it so that it matches once"
        )
    size = tree.write(parts, text.replace(old, new, 1))
    line = text[: text.index(old)].count("\n") + 1
    return f"replaced at line {line} of {name}, now {size} bytes"


def write_file(tree: WorkTree, parts: Parts, content: str) -> str:
    """Make a file or put other content in it; missing folders are made."""
    size = tree.write(parts, content)
    return f"wrote {size} bytes to {'/'.join(parts)}"


def _places(text: str, old: str) -> list[int]:
    """Give the line numbers where a text stands, without overlaps."""
    found: list[int] = []
    at = text.find(old)
    while at >= 0 and len(found) < SHOWN_MATCHES:
        found.append(text.count("\n", 0, at) + 1)
        at = text.find(old, at + len(old))
    return found


def _nearest(text: str, old: str) -> str:
    """Show the line that is most like the first line that was looked for."""
    wanted = next((line.strip() for line in old.splitlines() if line.strip()), "")[:COMPARED_CHARS]
    lines = [line.strip()[:COMPARED_CHARS] for line in text.split("\n")[:COMPARED_LINES]]
    close = [wanted] if wanted in lines else difflib.get_close_matches(wanted, lines, 1, LIKENESS)
    if not wanted or not close:
        return "No line is like its first line: read the file again."
    number = lines.index(close[0]) + 1
    real = bounds.clean(text.split("\n")[number - 1])
    return f"The nearest to its first line is line {number}: {bounds.line(real)!r}"
