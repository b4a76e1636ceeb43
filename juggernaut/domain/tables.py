"""Metrics as rows with ids: a summary may cite [m3], and anybody can look up what m3 says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.model import Json
from juggernaut.domain.redact import clean, shorten

ROWS_MAX: Final = 400
_CITED: Final = re.compile(r"\[([a-z]+\d+)\]")
_CELL_CHARS: Final = 300
_KEYS: Final = ("metric", "scope", "value", "unit", "previous", "title", "error_code", "count")
_FORMS: Final = (
    (frozenset({"metric", "scope", "value", "unit"}), "{metric}, {scope}: {value} {unit}"),
    (frozenset({"error_code", "count", "example"}), "{error_code}, {count} times: {example}"),
    (frozenset({"title", "status", "percent"}), "{title}: {status}, {percent} % done"),
    (frozenset({"title", "impact", "applied"}), "{title}: impact {impact}, used {applied} times"),
)
_LAST: Final = ("rests_on", "task_ids", "goal_id")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured fact; `section` says what was measured."""

    id: str
    section: str
    values: Json

    def line(self) -> str:
        """Give the row as one line of text, the keys that name it first."""
        ordered = sorted(self.values.items(), key=lambda item: _place(item[0]))
        cells = (f"{key}={_cell(value)}" for key, value in ordered)
        return f"[{self.id}] {', '.join(cells)}"

    def said(self) -> str:
        """Give the row as a person would say it; a row of an unknown form as `line` does."""
        value = {key: _cell(item) for key, item in self.values.items()}
        for needs, form in _FORMS:
            if needs <= value.keys():
                before = value.get("previous", "None")
                since = "" if before == "None" else f" (before: {before})"
                return f"[{self.id}] {form.format_map(value)}{since}"
        return self.line()


def rows_of(metrics: Json) -> tuple[Row, ...]:
    """Read the sections of some metrics that are lists of rows, each row with its `id`."""
    return tuple(
        Row(
            clean(str(item["id"])),
            clean(section),
            {key: value for key, value in item.items() if key != "id"},
        )
        for section, items in metrics.items()
        if isinstance(items, list | tuple)
        for item in items[:ROWS_MAX]
        if isinstance(item, Mapping) and "id" in item
    )


def markdown(rows: Iterable[Row]) -> str:
    """Write rows as Markdown: one heading for each section, one list item for each row."""
    lines: list[str] = []
    section = ""
    for row in rows:
        if row.section != section:
            section = row.section
            lines += ["", f"## {section.replace('_', ' ').capitalize()}", ""]
        lines.append(f"- {row.said()}")
    return "\n".join(lines).strip()


def check_citations(text: str, given: Sequence[str], *, least: int = 1) -> tuple[str, ...]:
    """Give the ids that a text cites; raises InvalidInput for one that was not given."""
    cited = tuple(dict.fromkeys(_CITED.findall(text)))
    wrong = [name for name in cited if name not in given]
    if wrong:
        raise InvalidInput(f"[{wrong[0]}] was cited, but there is no such row")
    if len(cited) < least:
        raise InvalidInput("cite the rows that you speak of, such as [m1]")
    return cited


def _place(key: str) -> int:
    """Give the place of a key in a line; those that nobody named keep their order in between."""
    return _KEYS.index(key) if key in _KEYS else len(_KEYS) + _LAST.count(key)


def _cell(value: object) -> str:
    """Write one value on one line."""
    return shorten(" ".join(clean(str(value)).split()), _CELL_CHARS)
