"""Rows as a table that shows each column: it wraps them, and says where they do not fit."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

SHORT_CELL_CHARS: Final = 16  # values up to here stay whole
WRAPPED_LEAST: Final = 12  # longer ones are wrapped, but not into narrower columns
PIPE_COLUMNS: Final = 400  # a pipe and a file have no edge
FRAME_CHARS: Final = 3  # a border and two blanks for each column


def console() -> Console:
    """Give standard output; a wide one where it is no terminal and COLUMNS says nothing."""
    bounded = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return Console(width=None if bounded else PIPE_COLUMNS)


def write_table(heads: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> bool:
    """Write a table; False, and nothing is written, where its columns do not fit."""
    place = console()
    widths = widths_for(place.width, heads, rows)
    if widths is None:
        return False
    table = Table(title=title or None, title_justify="left")
    for head, width in zip(heads, widths, strict=True):
        table.add_column(head, overflow="fold", width=width)
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    place.print(table)
    return True


def widths_for(room: int, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int] | None:
    """Give each column a width; None where there is no room for all of them.

    >>> widths_for(30, ["id", "title"], [["9c41", "the parser accepts empty files"]])
    [4, 19]
    >>> widths_for(20, ["id", "title"], [["9c41", "the parser accepts empty files"]]) is None
    True
    """
    widths, wishes = [], []
    for head, *texts in zip(heads, *rows, strict=True):
        body = widest(line for text in texts for line in text.splitlines())
        least = max(widest(head.split()), body if body <= SHORT_CELL_CHARS else WRAPPED_LEAST)
        widths.append(least)
        wishes.append(max(body, cell_len(head)) - least)
    left = room - FRAME_CHARS * len(widths) - 1 - sum(widths)
    if left < 0:
        return None
    # What one column does not need is there for those that wish for more.
    ordered = sorted(range(len(widths)), key=wishes.__getitem__)
    for others, column in zip(range(len(widths), 0, -1), ordered, strict=True):
        given = min(wishes[column], left // others)
        widths[column] += given
        left -= given
    return widths


def widest(texts: Iterable[str]) -> int:
    """Give the places that the widest text takes on a terminal."""
    return max((cell_len(text) for text in texts), default=0)
