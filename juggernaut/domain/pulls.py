"""What git and the forge say of a change and of its pull request: frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from juggernaut.domain.model import Sha, TaskId


class Mergeable(StrEnum):
    """What the forge says of a merge now; `unknown` means ask again a little later."""

    UNKNOWN = "unknown"
    CLEAN = "clean"
    BEHIND = "behind"  # the base has to be taken in first, by the repository's rules
    CONFLICT = "conflict"
    BLOCKED = "blocked"  # a required check or review is missing, or a draft


class CheckState(StrEnum):
    """How far a check is."""

    PENDING = "pending"
    PASSED = "passed"  # also skipped and neutral
    FAILED = "failed"


class ReviewState(StrEnum):
    """What a person's newest review says; a dismissed review is not there."""

    APPROVED = "approved"
    CHANGES_REQUESTED = "changes_requested"
    COMMENTED = "commented"


@dataclass(frozen=True, slots=True)
class Change:
    """A commit on a task's branch, measured by git and not by the agent.

    `before`: the changed paths that base has; `unread`: those whose content is no text.
    """

    head: Sha
    base: Sha
    diff: str
    files: tuple[str, ...]
    added: int
    removed: int
    before: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


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
    base_sha: Sha | None = None
    draft: bool = False
    mergeable: Mergeable = Mergeable.UNKNOWN
    ended_by: str = ""  # who merged or closed it, as the forge says
    labels: tuple[str, ...] | None = None  # None: the forge knows no labels


@dataclass(frozen=True, slots=True)
class Check:
    """A check or commit status at the head; `key` finds its log."""

    name: str
    state: CheckState
    required: bool
    key: str = ""
    url: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """What one person says of the pull request, at one commit."""

    id: str
    author: str
    state: ReviewState
    sha: Sha
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Comment:
    """A remark of somebody else: on a line when `path` is set. Our own are not given."""

    id: str
    author: str
    text: str
    at: datetime
    path: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class PullView:
    """All that can move a pull request, as the forge had it in one look.

    `stamp` changes when anything of it did; `in_queue` says that the forge's own merge queue
    has it, and `by_queue` that the base is reached through that queue only.
    """

    pull: Pull
    checks: tuple[Check, ...]
    reviews: tuple[Review, ...]
    comments: tuple[Comment, ...]
    stamp: str
    in_queue: bool = False
    by_queue: bool = False


@dataclass(frozen=True, slots=True)
class Promises:
    """What a repository's settings allow Juggernaut to promise; `notes` are for the doctor."""

    merge_method: str  # squash, merge or rebase: the one that will be used
    row_lock: bool  # squash and rebase need it against a second pull request
    protected: bool  # the default branch has protection or rules
    deletes_branches: bool
    merge_queue: bool
    required_checks: tuple[str, ...]
    notes: tuple[str, ...]


def branch_name(task: TaskId) -> str:
    """Name the one branch of a task; the database knows its form, too."""
    return f"feature/{task}"
