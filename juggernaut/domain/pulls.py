"""What git and the forge say of a change and of its pull request: frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from juggernaut.domain.model import Sha


@dataclass(frozen=True, slots=True)
class Change:
    """A commit on a task's branch, measured by git and not by the agent."""

    head: Sha
    base: Sha
    diff: str
    files: tuple[str, ...]
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request as the forge has it; `state` is open, merged or closed."""

    number: int
    url: str
    head_branch: str
    head_sha: Sha
    base_branch: str
    state: str
    merged_sha: Sha | None = None
    title: str = ""
