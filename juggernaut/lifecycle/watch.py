"""Watch: pull requests that wait at a forge are looked at, without a worker and without a model.

A look that finds a step of ours brings the task back, first in its lane. Any number of processes
may watch: each row is taken by one, and asked about later and later while nothing happens.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from juggernaut.domain.errors import ForgeError, InvalidInput, LawRefused
from juggernaut.domain.limits import LOG_MESSAGE_CHARS, WATCHES_PER_LOOK
from juggernaut.domain.model import Json, Sha, TaskId
from juggernaut.domain.pull_steps import Move, Step, step_of
from juggernaut.domain.pulls import PullView, ReviewState, branch_name
from juggernaut.domain.redact import scrub
from juggernaut.lifecycle.attempt import Services

_NEWS: Final = {
    Move.MERGE: "checks_green",
    Move.READY: "checks_green",
    Move.CHECKS: "checks_red",
    Move.REMARKS: "comments",
    Move.UPDATE: "conflict",
    Move.EJECTED: "checks_red",
    Move.MOVED: "head_moved",
    Move.CLOSED: "closed",
    Move.MERGED: "merged",
}
_NEEDS_TURN: Final = (Move.MERGE, Move.READY, Move.UPDATE)


async def follow_pulls(services: Services) -> Json:
    """Look at every pull request whose time has come; gives counts per answer."""
    counts = {"looked": 0, "woken": 0, "tidied": 0, "unanswered": 0}
    for row in await services.store.take_watches(WATCHES_PER_LOOK):
        counts["looked"] += 1
        try:
            counts[await _follow(services, row)] += 1
        except (ForgeError, InvalidInput, LawRefused):
            # A forge that is away has said nothing: it is asked again the next time. So it is when
            # somebody claimed the task meanwhile, whose pull request it is then.
            counts["unanswered"] += 1
    return counts


async def _follow(services: Services, row: Json) -> str:
    """Do for one pull request what its task calls for; gives what that was."""
    if row["status"] == "awaiting_merge":
        return await _look(services, row)
    if row["status"] == "waiting_approval":
        return await _report_reviews(services, row)
    return await _tidy(services, row)


async def _look(services: Services, row: Json) -> str:
    """Look at one that waits, and bring its task back if there is something to do."""
    turn = row["waits_for"] == "turn"
    seen = "" if turn else str(row["stamp"])
    view = await services.forge.look(str(row["repo"]), _number(row), seen)
    if view is None:
        return "looked"
    step = step_of(view, Sha(str(row["head"])), _handled(row))
    kind = None if _waits(step, turn, bool(row["next_in_train"])) else _NEWS[step.move]
    said = scrub(step.reason, services.settings.secrets, LOG_MESSAGE_CHARS)
    status = await services.store.saw_pull(
        _task(row), int(str(row["fence"])), view.stamp, kind, _key(kind, view), said
    )
    return "woken" if status == "pending" else "looked"


def _waits(step: Step, turn: bool, next_in_train: bool) -> bool:
    """Say that the task has to go on waiting: for the forge, or for its turn."""
    if turn and step.move in _NEEDS_TURN:
        return not next_in_train
    return step.move is Move.WAIT


def _key(kind: str | None, view: PullView) -> str:
    """Name a piece of news, so that it is kept once."""
    return f"{kind}:{view.pull.head_sha}:{view.stamp}"


async def _report_reviews(services: Services, row: Json) -> str:
    """Report approving reviews of the head that people have to decide on."""
    view = await services.forge.look(str(row["repo"]), _number(row))
    woken = "looked"
    for review in view.reviews if view else ():
        if review.state is ReviewState.APPROVED:
            answer = await services.store.report_review(
                _task(row), services.forge.name, review.author, review.sha, review.id
            )
            woken = "woken" if answer == "approved" else woken
    return woken


async def _tidy(services: Services, row: Json) -> str:
    """Clear up after a task that is over: close what was given up, drop the branch of the rest.

    Only the branch of the task itself, whatever the watch names: a login could have written it.
    """
    repo, number, branch = str(row["repo"]), _number(row), branch_name(_task(row))
    if row["status"] == "completed":
        if row["branch"] == branch:
            await services.forge.delete_branch(repo, branch, Sha(str(row["head"])))
    else:
        view = await services.forge.look(repo, number)
        if view is not None and view.pull.state == "open" and view.pull.head_branch == branch:
            reason = f"Task {row['task_id']} was {row['status']}."
            await services.forge.close_pull(repo, number, reason)
    await services.store.drop_watch(_task(row))
    return "tidied"


def _task(row: Json) -> TaskId:
    """Give the id of the task of a watch."""
    return TaskId(UUID(str(row["task_id"])))


def _number(row: Json) -> int:
    """Give the number of the pull request of a watch."""
    return int(str(row["number"]))


def _handled(row: Json) -> frozenset[str]:
    """Give the keys of what was dealt with already."""
    found = row["handled"]
    return frozenset(str(key) for key in found) if isinstance(found, list) else frozenset()
