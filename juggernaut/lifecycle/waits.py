"""Waits: a pull request that waits at the forge holds no worker, and one that ended says why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from juggernaut.domain.errors import NotQueued, Parked, PullClosed
from juggernaut.domain.limits import EXCERPT_CHARS, LOG_MESSAGE_CHARS, TITLE_CHARS
from juggernaut.domain.model import Learning, Sha
from juggernaut.domain.pull_steps import QUEUED_KEY, Move, Step
from juggernaut.domain.pulls import Comment, Pull, Review
from juggernaut.domain.redact import shorten
from juggernaut.lifecycle.attempt import Attempt

QUEUED = Step(Move.WAIT, "it is in the merge queue", "queue", "the forge's merge queue")
BUTTON = 'a person: give it what the rules want, or press "Merge when ready"'
_IMPACT_CLOSED = 0.8
_LAST_WORDS = 5


async def wait_at_forge(attempt: Attempt, step: Step, stamp: str) -> NoReturn:
    """End the attempt, uncounted: the task is `awaiting_merge` until a look finds news."""
    reason = attempt.scrub(step.reason, LOG_MESSAGE_CHARS)
    landed = await attempt.services.store.park_pull(
        attempt.lease, stamp, step.waits_for, reason, step.owner
    )
    attempt.holds(landed)
    raise Parked(reason)


async def closed(attempt: Attempt, pull: Pull) -> NoReturn:
    """Fail for good, because somebody closed the pull request; what they said is a learning."""
    view = await attempt.services.forge.look(attempt.repo, pull.number)
    words: list[Review | Comment] = [*view.reviews, *view.comments] if view else []
    said = [
        f"{item.author}: {item.text}"
        for item in sorted(words, key=lambda item: item.at)[-_LAST_WORDS:]
        if item.text.strip()
    ]
    who = (view.pull.ended_by if view else "") or pull.ended_by or "somebody"
    told = attempt.scrub("\n".join(said), EXCERPT_CHARS) or "Nothing was said."
    reason = (
        f"pull request #{pull.number} of task {attempt.task.id} was closed without a merge"
        f" by {who}: {told}"
    )
    learning = Learning(
        category="pitfall",
        title=shorten(f"Closed by {who}: {attempt.task.title}", TITLE_CHARS),
        description=shorten(
            f"Task: {attempt.task.title}\nIts pull request #{pull.number} was closed without a"
            f" merge by {who}. What was said:\n{told}",
            EXCERPT_CHARS * 2,
        ),
        impact=_IMPACT_CLOSED,
        tags=(attempt.task.task_type, "closed"),
    )
    attempt.holds(await attempt.services.store.learn(attempt.lease, learning))
    raise PullClosed(f"{reason}; reopen it, or add a better task")


async def moved(attempt: Attempt, pull: Pull) -> NoReturn:
    """Block the task: somebody else pushed to its branch, and that is not written over unasked."""
    store, lease = attempt.services.store, attempt.lease
    await store.leave_turn(lease)
    # What a person has seen may be written over when they give the task back.
    attempt.holds(
        await store.note_pull(lease, attempt.repo, pull.head_branch, pull.number, pull.head_sha)
    )
    await attempt.block(
        f"somebody else pushed {pull.head_sha} to {pull.head_branch} (pull request"
        f" #{pull.number}), which this task did not push",
        "a person: look at that commit; retry_task writes the change anew over it, cancel_task"
        " leaves it to you",
    )


async def merged_elsewhere(attempt: Attempt, pull: Pull) -> NoReturn:
    """Block the task: what was merged was written by somebody else, and nobody reports it."""
    await attempt.block(
        f"pull request #{pull.number} was merged at {pull.head_sha}, which this task did not push",
        "a person: look at the merge, then cancel the task or open a new one; or, if it was"
        " reported before an edit, write the words of then back, and SELECT"
        f" retry_task('{attempt.task.id}')",
    )


async def merged_early(attempt: Attempt, pull: Pull, told: bool) -> NoReturn:
    """Block the task: what was merged is not what it asks for now, and no merge is undone.

    `told`: the ledger knows which text it was written for, so that the same words prove it.
    """
    task = attempt.task.id
    back = f"; or write its words back as they were, then SELECT retry_task('{task}')"
    await attempt.block(
        f"merged for an earlier text: pull request #{pull.number} ({pull.merged_sha}) was written"
        " before the task was changed or sent back",
        f"a person: SELECT cancel_task('{task}', 'merged for an earlier text'), and add what is"
        f" left as a task of its own{back if told else ''}",
    )


async def queued(attempt: Attempt, head: Sha) -> NoReturn:
    """Wait for the forge's merge queue; what leaves it without a merge is known by its head."""
    store, lease = attempt.services.store, attempt.lease
    attempt.holds(await store.handle_news(lease, "queued", [f"{QUEUED_KEY}{head}"]))
    await wait_at_forge(attempt, QUEUED, "")


async def not_queued(attempt: Attempt, pull: Pull, error: NotQueued) -> NoReturn:
    """Wait for people: they know what the queue wants, or can press the button themselves."""
    view = await attempt.services.forge.look(attempt.repo, pull.number)
    step = Step(Move.WAIT, f"the merge queue does not take it: {error}", "review", BUTTON)
    await wait_at_forge(attempt, step, view.stamp if view else "")


@asynccontextmanager
async def row_lock(attempt: Attempt) -> AsyncIterator[None]:
    """Hold the task's row from the fence check to the record, so that no other attempt begins (F4).

    A forge that squashes does not refuse a second pull request of what it merged. One that makes
    merge commits does, but not after a push that was meant for the head it merged: that takes four
    attempts, and tests/sim shows it.
    """
    async with attempt.services.store.effect_lock(attempt.lease):
        yield
