"""Makes text from the work tree fit to be read by a model: no terminal escapes, no endless line."""

from __future__ import annotations

import re
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
