"""A line of the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: a figure, and its ratio to what it is compared with."""

    what: str
    value: float
    unit: str
    ratio: float | None = None
    to: str = ""


def row(line: Line) -> str:
    """Write one line of the table."""
    figure = f"{line.value:,.2f}" if line.unit in ("ms", "L", "x") else f"{line.value:,.0f}"
    ratio = "" if line.ratio is None else f"{line.ratio:.2f} x {line.to}"
    return f"{line.what:<58} {figure:>12} {line.unit:<8} {ratio}\n"
