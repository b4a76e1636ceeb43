"""What a pull request of the swarm has to be: its size, its author, and texts that do nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from juggernaut.domain.limits import PULL_FILES, PULL_LINES
from juggernaut.domain.model import Risk, Task
from juggernaut.domain.pulls import Change


class Quality(StrEnum):
    """What becomes of linter findings that are still there after the rounds to mend them."""

    ENFORCE = "enforce"  # the attempt fails
    REPORT = "report"  # they stand in the pull request and in the evidence
    OFF = "off"  # no linter runs


@dataclass(frozen=True, slots=True)
class Linter:
    """How ruff is started, and the rules for a repository that has none of its own."""

    argv: tuple[str, ...] | None  # None: it is not installed
    rules: tuple[str, ...] = ()  # TOML pairs, as --config takes them


@dataclass(frozen=True, slots=True)
class PullRules:
    """What an operator configured for pull requests."""

    max_changed_lines: int = PULL_LINES
    max_files: int = PULL_FILES
    trailers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    quality: Quality = Quality.OFF
    linter: Linter = Linter(None)


_MENTION: Final = re.compile(r"(?<!\w)@(?=[A-Za-z0-9])")
_NUMBER: Final = re.compile(r"#(?=\d)")
_SHORT_NUMBER: Final = re.compile(r"\bGH-(?=\d)", re.IGNORECASE)
_LINKED: Final = re.compile(
    r"/(issues|pull|pulls|discussions|merge_requests)/(?=\d)", re.IGNORECASE
)
_SKIP: Final = re.compile(
    r"\[(?=\s*(?:skip|no)[ -](?:ci|actions|checks)|\s*(?:ci|actions)[ -]skip)", re.IGNORECASE
)


def inert(text: str) -> str:
    """Break what a forge would act on: mentions, issue numbers and links, and [skip ci].

    >>> inert("fixes #12, thanks @ada [skip ci]")
    'fixes # 12, thanks @ ada ( skip ci]'
    """
    text = _MENTION.sub("@ ", text)
    text = _NUMBER.sub("# ", text)
    text = _SHORT_NUMBER.sub("GH ", text)
    text = _LINKED.sub(r"/\1/ ", text)
    return _SKIP.sub("( ", text)


def too_big(change: Change, rules: PullRules) -> str | None:
    """Say why a change is too big for one pull request, or None."""
    lines, files = change.added + change.removed, len(change.files)
    if lines <= rules.max_changed_lines and files <= rules.max_files:
        return None
    return (
        f"the change is too big for one pull request: {lines} changed lines"
        f" (at most {rules.max_changed_lines}) in {files} files (at most {rules.max_files});"
        " split the task into smaller ones, or raise pulls.max_changed_lines or pulls.max_files"
    )


def commit_text(title: str, task: Task, trailers: Sequence[str]) -> str:
    """Give the message of the commit on the task's branch, with its trailers."""
    return f"{title}\n\n{trailer_block(task, trailers)}\n"


def labels_for(rules: PullRules, risk: Risk) -> tuple[str, ...]:
    """Give the labels of a pull request: `{risk}` in one stands for its risk."""
    return tuple(dict.fromkeys(name.replace("{risk}", risk.value) for name in rules.labels))


def trailer_block(task: Task, trailers: Sequence[str]) -> str:
    """Give the trailers of a task's commits: its id, and what is configured."""
    return "\n".join([f"Task: {task.id}", *trailers])
