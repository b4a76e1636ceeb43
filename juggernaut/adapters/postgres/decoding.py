"""JSON of the database as Python values: whatever PostgreSQL can hold, some value comes back.

One number that Python does not read, or one value that nests too deep, must not take the rest of
an answer with it: what was claimed by that answer is claimed already.
"""

from __future__ import annotations

import json
import math
import re
from typing import Final

MOST_DIGITS: Final = 400
MOST_LEVELS: Final = 64

_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_OPENING: Final = frozenset("[{")


def read_json(text: str) -> object:
    """Read a value; a mark stands for a number that is too long, and for what nests too deep.

    >>> read_json('{"n": [1, 1.5]}')
    {'n': [1, 1.5]}
    >>> read_json("1" * 5000)
    '(a number of 5000 digits)'
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        return _DECODER.decode(_shallow(text))


def _whole(digits: str) -> int | str:
    """Read a whole number."""
    return int(digits) if len(digits) <= MOST_DIGITS else _mark(digits)


def _broken(digits: str) -> float | str:
    """Read a number with a fraction; the digits behind those that a float holds are lost."""
    value = float(digits)
    return value if math.isfinite(value) else _mark(digits)


def _mark(digits: str) -> str:
    """Say that a number was too long."""
    return f"(a number of {len(digits)} digits)"


def _shallow(text: str) -> str:
    """Put a mark in the place of every value that nests deeper than MOST_LEVELS."""
    kept: list[str] = []
    level = end = 0
    for found in _BRACKETS.finditer(text):
        if found[0] in _OPENING:
            if level == MOST_LEVELS:
                kept.append(f'{text[end : found.start()]}"(nested too deep)"')
            level += 1
        elif not found[0].startswith('"'):
            level -= 1
            if level == MOST_LEVELS:
                end = found.end()
    return "".join(kept) + text[end:]


_DECODER: Final = json.JSONDecoder(parse_int=_whole, parse_float=_broken)
