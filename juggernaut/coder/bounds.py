"""Makes text from the work tree fit to be read by a model: no terminal escapes, no endless line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

from juggernaut.domain import limits, redact

ESCAPES: Final = re.compile(r"\x1b(?:\[[0-9;?]{0,32}[ -/]?[@-~]|[@-Z\\-_])")


def clean(text: str) -> str:
    """Give text with plain line ends and without terminal escapes and hidden characters."""
    return redact.clean(ESCAPES.sub("", text.replace("\r\n", "\n")))


def line(text: str) -> str:
    """Cut one line."""
    if len(text) <= limits.TOOL_LINE_CHARS:
        return text
    missing = len(text) - limits.TOOL_LINE_CHARS
    return f"{text[: limits.TOOL_LINE_CHARS]} [... {missing} characters more]"


def whole(text: str) -> str:
    """Keep the head and the tail of what a tool gave."""
    return redact.shorten(text, limits.TOOL_OUTPUT_CHARS)


def newest(lines: Iterable[str], most_chars: int) -> list[str]:
    """Give as many of the last lines as there is room for."""
    kept: list[str] = []
    for text in reversed(list(lines)):
        most_chars -= len(text) + 1
        if most_chars < 0:
            break
        kept.insert(0, text)
    return kept


def fitting(text: str, most_chars: int) -> str:
    """Cut a text until it fits as JSON in ASCII, which is how the purse and windows count it."""
    while text and len(json.dumps(text)) > most_chars:
        text = redact.shorten(text, len(text) * 2 // 3)
    return text
