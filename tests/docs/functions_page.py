"""Where each function of the database has its present body: read from the migrations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tests.docs.blocks import REPO

PAGE: Final = REPO / "docs" / "functions.md"
MADE = re.compile(
    r"^CREATE (?:OR REPLACE )?FUNCTION ((?:juggernaut|public)\.\w+)\s*\("
    r"|^DROP FUNCTION (?:IF EXISTS )?(.+?);",
    re.MULTILINE | re.DOTALL,
)
NAME = re.compile(r"(?:juggernaut|public)\.\w+")
HEAD: Final = (
    "# Where a function of the database is\n\n"
    "Migrations only go forward, so a function that changed stands in several of them. This is the"
    " file and line of the body that counts; a test keeps the list true."
    " `JUGGERNAUT_WRITE_FUNCTIONS=1 pytest tests/docs/test_functions_page.py` writes it anew.\n\n"
    "| function | its present body |\n|---|---|\n"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A file of migrations and the line where a body begins."""

    file: str
    line: int


def places() -> dict[str, Place]:
    """Give the newest definition of each function that was not dropped afterwards."""
    found: dict[str, Place] = {}
    for path in sorted((REPO / "migrations").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        for match in MADE.finditer(text):
            if match[1]:
                found[match[1]] = Place(path.name, text.count("\n", 0, match.start()) + 1)
                continue
            for gone in NAME.findall(match[2]):
                found.pop(gone, None)
    return found


def written() -> str:
    """Write the page."""
    rows = (
        f"| `{name}` | [{place.file}](../migrations/{place.file}) line {place.line} |\n"
        for name, place in sorted(places().items())
    )
    return HEAD + "".join(rows)
