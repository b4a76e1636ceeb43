"""Reads Markdown: fenced blocks, and what psql printed under a statement."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"(?<!:):'(\w+)'")
BARE = re.compile(r"(?<![:\w]):([a-z_]+)\b")
TAG = re.compile(r"(?:INSERT 0|UPDATE|DELETE) \d+")
UUID_TEXT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: the words after the fence, and its text."""

    info: tuple[str, ...]
    text: str

    @property
    def language(self) -> str:
        """The first word after the fence; empty when there is none."""
        return self.info[0] if self.info else ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One statement of the cookbook, whose login runs it, and what psql printed."""

    login: str
    refused: bool
    statement: str
    printed: str

    @property
    def names(self) -> list[str]:
        """The psql variables of the statement, in order."""
        found = re.findall(r"(?<!:):'(\w+)'|(?<![:\w]):([a-z_]+)\b", self.statement)
        return list(dict.fromkeys(quoted or bare for quoted, bare in found))

    def filled(self, value_of: Callable[[str], object]) -> str:
        """The statement with its variables put in, as psql does."""
        text = QUOTED.sub(lambda match: f"'{value_of(match[1])}'", self.statement)
        return BARE.sub(lambda match: str(value_of(match[1])), text)

    @property
    def tag(self) -> str | None:
        """What psql printed when that is a command tag such as UPDATE 1."""
        return self.printed if TAG.fullmatch(self.printed) else None

    @property
    def columns(self) -> list[str]:
        """The column names that psql printed."""
        return [name.strip() for name in self.printed.splitlines()[0].split("|")]

    @property
    def has_rows(self) -> bool:
        """Whether psql printed a row below the names and the ruler."""
        return len(self.printed.splitlines()) > 2


def documents() -> list[Path]:
    """Every Markdown file that people are meant to read."""
    top = [REPO / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
    return [*top, *sorted((REPO / "docs").rglob("*.md"))]


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a document, in order."""
    return [Block(tuple(m[1].split()), m[2]) for m in FENCE.finditer(text)]


def recipes(text: str) -> list[Recipe]:
    """The statements of a cookbook; each needs a login, and what was printed right after it."""
    blocks = blocks_of(text)
    found = []
    for block, after in zip(blocks, [*blocks[1:], Block((), "")], strict=True):
        if block.language != "sql":
            continue
        assert len(block.info) > 1, f"no login beside: {block.text}"
        assert after.language == "text", f"no output under: {block.text}"
        login, refused = block.info[1], "refused" in block.info
        found.append(Recipe(login, refused, block.text.strip(), after.text.strip()))
    return found


def code_of(text: str) -> list[str]:
    """Every piece of code: lines of unmarked blocks, and spans between single backticks."""
    lines = [line for b in blocks_of(text) if not b.language for line in b.text.splitlines()]
    return lines + re.findall(r"(?<!`)`([^`\n]+)`(?!`)", FENCE.sub("", text))


def masked(text: str) -> str:
    """A message without what differs from run to run."""
    return UUID_TEXT.sub("<id>", text)
