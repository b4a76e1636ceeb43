"""The next step for a pull request, from every kind of look at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from juggernaut.domain.model import Sha
from juggernaut.domain.pull_steps import Move, step_of
from juggernaut.domain.pulls import (
    Check,
    CheckState,
    Comment,
    Mergeable,
    Pull,
    PullView,
    Review,
    ReviewState,
)

HEAD, OTHER = Sha("aa" * 20), Sha("bb" * 20)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLEAN = PullView(
    Pull(7, "place#7", "feature/x", HEAD, "main", "open", mergeable=Mergeable.CLEAN),
    (Check("juggernaut/verify", CheckState.PENDING, required=True),),
    (),
    (),
    "stamp",
)


def checks(*found: tuple[str, CheckState, bool]) -> PullView:
    """Give a look with these checks."""
    made = tuple(Check(name, state, required) for name, state, required in found)
    return replace(CLEAN, checks=(*CLEAN.checks, *made))


def pull(**changes: object) -> PullView:
    """Give a look at a pull request that differs in this."""
    return replace(CLEAN, pull=replace(CLEAN.pull, **changes))  # type: ignore[arg-type]


def review(state: ReviewState, text: str = "") -> PullView:
    """Give a look with one review."""
    return replace(CLEAN, reviews=(Review("5", "ada", state, HEAD, text, NOW),))


def comment(text: str) -> PullView:
    """Give a look with one comment."""
    return replace(CLEAN, comments=(Comment("9", "ada", text, NOW, "a.py", 3),))


QUEUED = frozenset({f"queued:{HEAD}"})
RED, GREEN, SLOW = CheckState.FAILED, CheckState.PASSED, CheckState.PENDING


@pytest.mark.parametrize(
    ("view", "handled", "move", "said"),
    [
        (CLEAN, (), Move.MERGE, ""),
        (pull(draft=True, mergeable=Mergeable.BLOCKED), (), Move.READY, ""),
        (pull(state="merged", ended_by="bob"), (), Move.MERGED, "by bob"),
        (pull(state="closed"), (), Move.CLOSED, "somebody"),
        (pull(head_sha=OTHER), (), Move.MOVED, OTHER),
        (pull(mergeable=Mergeable.CONFLICT), (), Move.UPDATE, "in conflict with main"),
        (pull(mergeable=Mergeable.BEHIND), (), Move.UPDATE, "behind main"),
        (pull(mergeable=Mergeable.UNKNOWN), (), Move.WAIT, "has not said"),
        (pull(mergeable=Mergeable.BLOCKED), (), Move.WAIT, "review"),
        (replace(CLEAN, in_queue=True), tuple(QUEUED), Move.WAIT, "queue"),
        (CLEAN, tuple(QUEUED), Move.EJECTED, "took it out"),
        (CLEAN, (f"queued:{OTHER}",), Move.MERGE, ""),
        (replace(pull(mergeable=Mergeable.BLOCKED), by_queue=True), (), Move.MERGE, ""),
        (checks(("ci", SLOW, True)), (), Move.WAIT, "ci"),
        (checks(("ci", RED, True), ("lint", SLOW, True)), (), Move.CHECKS, "ci"),
        (checks(("ci", GREEN, True), ("lint", RED, False)), (), Move.MERGE, ""),
        (checks(("lint", RED, False)), (), Move.CHECKS, "lint"),
        (checks(("lint", SLOW, False)), (), Move.WAIT, "lint"),
        (comment("why?"), (), Move.REMARKS, "ada"),
        (comment("why?"), ("comment:9",), Move.MERGE, ""),
        (comment("  "), (), Move.MERGE, ""),
        (review(ReviewState.APPROVED, "nice"), (), Move.MERGE, ""),
        (review(ReviewState.COMMENTED, "hm"), (), Move.REMARKS, "ada"),
        (review(ReviewState.CHANGES_REQUESTED), (), Move.REMARKS, "ada"),
        (review(ReviewState.CHANGES_REQUESTED), ("review:5",), Move.WAIT, "asked for changes"),
    ],
)
def test_the_next_step(view: PullView, handled: Sequence[str], move: Move, said: str) -> None:
    """One look, one step; who waits knows for what and whose turn it is."""
    step = step_of(view, HEAD, frozenset(handled))
    assert step.move is move
    assert said in step.reason
    if move is Move.WAIT:
        assert step.waits_for
        assert step.owner
