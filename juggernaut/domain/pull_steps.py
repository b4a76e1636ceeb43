"""What comes next for a pull request, from one look at it.

A pure function, the same for the attempt that acts and for the duty that wakes it, so nobody is
woken to find nothing to do.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import (
    Check,
    CheckState,
    Mergeable,
    PullView,
    Review,
    ReviewState,
)

OWN_CHECK: Final = "juggernaut/verify"
QUEUED_KEY: Final = "queued:"  # begins the key of a head that was put into the merge queue
SHOWN_NAMES: Final = 5


class Move(StrEnum):
    """The next step for a pull request."""

    MERGE = "merge"
    READY = "ready"  # everything is green: a draft no longer
    WAIT = "wait"
    CHECKS = "checks"  # red: mend on the same branch
    REMARKS = "remarks"  # somebody asks or wants changes
    UPDATE = "update"  # behind its base, or in conflict with it
    EJECTED = "ejected"  # the merge queue took it out again
    SENT_BACK = "sent_back"  # red on the newest base
    MOVED = "moved"  # somebody else pushed
    CLOSED = "closed"
    MERGED = "merged"


MENDING: Final = frozenset({Move.CHECKS, Move.REMARKS, Move.SENT_BACK})


@dataclass(frozen=True, slots=True)
class PullState:
    """What is recorded of a task's pull request: our head, and the keys that were dealt with.

    `edited`: somebody changed the text of the task since the attempt began that pushed that head.
    """

    number: int
    head: Sha
    handled: frozenset[str]
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that a person said and that wants an answer; `key` names it for ever."""

    key: str
    author: str
    text: str
    comment: str = ""  # the id of the comment that an answer goes to


@dataclass(frozen=True, slots=True)
class Step:
    """The next step, why, and who has it while it waits."""

    move: Move
    reason: str = ""
    waits_for: str = ""
    owner: str = ""
    checks: tuple[Check, ...] = ()
    remarks: tuple[Remark, ...] = ()

    @property
    def mends(self) -> bool:
        """Say whether the code agent is asked again."""
        return self.move in MENDING


def step_of(view: PullView, head: Sha, handled: AbstractSet[str]) -> Step:
    """Give the next step for the pull request whose head should be `head`.

    `handled` has the keys of remarks that were answered already.
    """
    pull = view.pull
    if pull.state != "open":
        move = Move.MERGED if pull.state == "merged" else Move.CLOSED
        return Step(move, f"pull request #{pull.number} was {pull.state} by {_by(pull.ended_by)}")
    if pull.head_sha != head:
        said = f"the branch is at {pull.head_sha}, which this task did not push"
        return Step(Move.MOVED, said)
    red = tuple(check for check in _counted(view) if check.state is CheckState.FAILED)
    if red:
        return Step(Move.CHECKS, f"red: {_names(red)}", checks=red)
    remarks = tuple(item for item in _remarks(view) if item.key not in handled)
    if remarks:
        said = f"{len(remarks)} remarks, the first by {remarks[0].author}"
        return Step(Move.REMARKS, said, remarks=remarks)
    if pull.mergeable in (Mergeable.CONFLICT, Mergeable.BEHIND):
        said = f"the change is {_BASE[pull.mergeable]} {pull.base_branch}"
        return Step(Move.UPDATE, said)
    waiting = _waiting(view)
    if waiting is None and f"{QUEUED_KEY}{head}" in handled:
        return Step(Move.EJECTED, "the merge queue took it out: red with what is merged before it")
    return waiting or Step(Move.MERGE, "everything that it needs is there")


_BASE: Final = {Mergeable.CONFLICT: "in conflict with", Mergeable.BEHIND: "behind"}


def _waiting(view: PullView) -> Step | None:
    """Say what a pull request without trouble still waits for; None when it is nothing."""
    pull = view.pull
    if view.in_queue:
        return Step(Move.WAIT, "it is in the merge queue", "queue", "the forge's merge queue")
    pending = tuple(check for check in _counted(view) if check.state is CheckState.PENDING)
    if pending:
        said = f"checks have not ended: {_names(pending)}"
        return Step(Move.WAIT, said, "checks", f"whoever runs {_names(pending)}")
    unhappy = _unhappy(view)
    if unhappy:
        said = f"{unhappy[0].author} asked for changes and has not looked again"
        return Step(Move.WAIT, said, "review", f"{unhappy[0].author}: review, or dismiss it")
    if pull.draft:
        return Step(Move.READY, "every check is green")
    if pull.mergeable is Mergeable.UNKNOWN:
        return Step(Move.WAIT, "the forge has not said whether it can merge", "forge", "the forge")
    if pull.mergeable is Mergeable.BLOCKED and not view.by_queue:
        said = "the rules of the repository want a review, or more than is there"
        return Step(Move.WAIT, said, "review", f"a person: review {pull.url}"[:300])
    return None


def _counted(view: PullView) -> list[Check]:
    """Give the checks that decide: the required ones, or all of them where none is required.

    Our own is left out: whoever asks has just verified this head, or will.
    """
    others = [check for check in view.checks if check.name != OWN_CHECK]
    return [check for check in others if check.required] or others


def _unhappy(view: PullView) -> list[Review]:
    """Give the reviews that ask for changes and still stand."""
    return [item for item in view.reviews if item.state is ReviewState.CHANGES_REQUESTED]


def _remarks(view: PullView) -> list[Remark]:
    """Give what people said that wants an answer; an approval with a word of praise does not."""
    found = [
        Remark(f"review:{item.id}", item.author, item.text)
        for item in view.reviews
        if item.state is ReviewState.CHANGES_REQUESTED
        or (item.state is ReviewState.COMMENTED and item.text.strip())
    ]
    for comment in view.comments:
        if not comment.text.strip():
            continue
        place = f"{comment.path}:{comment.line or ''}\n" if comment.path else ""
        remark = Remark(
            f"comment:{comment.id}", comment.author, f"{place}{comment.text}", comment.id
        )
        found.append(remark)
    return found


def _names(checks: tuple[Check, ...]) -> str:
    """Name some checks."""
    more = len(checks) - SHOWN_NAMES
    shown = ", ".join(check.name for check in checks[:SHOWN_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown


def _by(login: str) -> str:
    """Name who did something, as the forge says."""
    return login or "somebody"
