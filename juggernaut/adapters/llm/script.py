"""The file of a scripted model: conversations, each a list of turns.

    label: demo                      # stands in ledger and logs as scripted/demo
    usd_per_call: 0.001              # a pretend price, so that budgets move
    conversations:
      - purpose: code                # optional: the request's purpose
        contains: ["Fix the slug"]   # all must occur in the system prompt + first user message
        turns:
          - text: I look first.
            tools: [{name: read, arguments: {path: slug.py}}]
          - text: "Done at {{sha}}"
            capture: {sha: "commit ([0-9a-f]{40})"}   # the last match in what was said so far

The first conversation that matches wins. Nothing is remembered between calls: which turn is next
is the number of assistant messages in the request, so a restart changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from juggernaut.adapters.llm.yaml_file import Section, read_yaml
from juggernaut.domain import limits
from juggernaut.domain.errors import ConfigError, ModelRefused

USD_PER_CALL: Final = Decimal("0.001")
# The arguments of a tool (a plan, say) nest deeper than any setting.
_DEPTH: Final = 2 * limits.CONFIG_DEPTH
_PLACEHOLDER: Final = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Heard:
    """What a script is matched against: `opening` is the system prompt and first user message."""

    opening: str
    everything: str
    turn: int


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """A tool call as the file has it."""

    name: str
    arguments: dict[str, object]


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer; placeholders are filled from `capture`."""

    text: str
    calls: tuple[ScriptedCall, ...]
    capture: Mapping[str, re.Pattern[str]]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns for the requests that match."""

    purpose: str | None
    contains: tuple[str, ...]
    turns: tuple[Turn, ...]

    def fits(self, purpose: str | None, opening: str) -> bool:
        """Say whether this conversation is meant; a purpose of None is not known and fits all."""
        if purpose is not None and self.purpose is not None and purpose != self.purpose:
            return False
        return all(piece in opening for piece in self.contains)


@dataclass(frozen=True, slots=True)
class Script:
    """A whole file."""

    path: Path
    label: str
    usd_per_call: Decimal
    conversations: tuple[Conversation, ...]

    def answer(self, heard: Heard, purpose: str | None) -> Turn:
        """Give the turn that is next, filled in; raises ModelRefused when there is none."""
        named = f"purpose {purpose!r}" if purpose is not None else "the request"
        for number, conversation in enumerate(self.conversations, start=1):
            if not conversation.fits(purpose, heard.opening):
                continue
            if heard.turn < len(conversation.turns):
                return self._filled(conversation.turns[heard.turn], heard)
            raise ModelRefused(
                f"scripted model {self.path}: conversation {number} for {named} has "
                f"{len(conversation.turns)} turns and was asked for turn {heard.turn + 1}"
            )
        start = " ".join(heard.opening.split())[: limits.MODEL_ERROR_CHARS]
        raise ModelRefused(
            f"scripted model {self.path}: no conversation fits {named}; it begins {start!r}"
        )

    def _filled(self, turn: Turn, heard: Heard) -> Turn:
        """Put captured values in place; raises ModelRefused when one was never said."""
        found: dict[str, str] = {}
        for name, pattern in turn.capture.items():
            matches = list(pattern.finditer(heard.everything))
            if not matches:
                raise ModelRefused(
                    f"scripted model {self.path}: {{{{{name}}}}} is not known, because nothing "
                    f"said so far matches {pattern.pattern!r}"
                )
            found[name] = matches[-1].group(matches[-1].lastindex or 0)
        calls = tuple(
            ScriptedCall(
                call.name, {key: _fill(item, found) for key, item in call.arguments.items()}
            )
            for call in turn.calls
        )
        return Turn(str(_fill(turn.text, found)), calls, turn.capture)


def load_script(path: Path) -> Script:
    """Read and check a file; raises ConfigError that names the file and the place in it."""
    keys = ("label", "usd_per_call", "conversations")
    root = Section(read_yaml(path, depth=_DEPTH), str(path), keys)
    conversations = tuple(
        _conversation(part)
        for part in root.sections("conversations", ("purpose", "contains", "turns"))
    )
    if not conversations:
        raise ConfigError(f"{root.at('conversations')}: at least one is needed")
    label = root.text("label").removeprefix("scripted:").strip()
    if not label or len(label) > limits.TITLE_CHARS:
        raise ConfigError(
            f"{root.at('label')}: a name of 1 to {limits.TITLE_CHARS} characters is needed"
        )
    price = root.dollars("usd_per_call", USD_PER_CALL)
    return Script(path, label, price, conversations)


def _conversation(part: Section) -> Conversation:
    """Read one conversation."""
    turns = tuple(_turn(turn) for turn in part.sections("turns", ("text", "tools", "capture")))
    if not turns:
        raise ConfigError(f"{part.at('turns')}: at least one turn is needed")
    return Conversation(part.optional_text("purpose"), part.texts("contains"), turns)


def _turn(part: Section) -> Turn:
    """Read one turn."""
    calls = tuple(
        ScriptedCall(tool.text("name"), tool.section("arguments").values)
        for tool in part.sections("tools", ("name", "arguments"))
    )
    text = part.text("text", default="")
    if not text and not calls:
        raise ConfigError(f"{part.place}: a turn needs text or tools")
    captures = part.section("capture")
    patterns: dict[str, re.Pattern[str]] = {}
    for name in captures.values:
        try:
            patterns[name] = re.compile(captures.text(name))
        except re.error as error:
            raise ConfigError(f"{captures.at(name)}: not a regular expression: {error}") from None
    for name in sorted(_placeholders([text, [call.arguments for call in calls]])):
        if name not in patterns:
            raise ConfigError(f"{part.place}: {{{{{name}}}}} has no pattern under `capture`")
    return Turn(text, calls, patterns)


def _placeholders(value: object) -> set[str]:
    """Find the names of placeholders at any depth."""
    if isinstance(value, str):
        return set(_PLACEHOLDER.findall(value))
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return {name for item in value for name in _placeholders(item)}
    return set()


def _fill(value: object, found: Mapping[str, str]) -> object:
    """Put values in place of placeholders at any depth."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda match: found[match.group(1)], value)
    if isinstance(value, list):
        return [_fill(item, found) for item in value]
    if isinstance(value, dict):
        return {key: _fill(item, found) for key, item in value.items()}
    return value
