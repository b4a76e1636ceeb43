"""Cuts text until it fits the room that there is for it."""

from __future__ import annotations

import json
from collections.abc import Iterable

from juggernaut.domain import redact


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
