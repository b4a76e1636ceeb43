"""A pull request's life, as an attempt goes through it: look, mend, answer, take the turn, merge.

While the step is somebody else's the task waits at the forge (waits.py), and a duty looks after it
(watch.py). Rounds are bounded; beyond the bound a person has the next step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from juggernaut.domain.errors import AgentFailed, LeaseLost, Parked, PullClosed
from juggernaut.domain.limits import (
    DECIDING_LOOKS,
    DECIDING_SECONDS,
    EXCERPT_CHARS,
    FIX_ROUNDS,
    PLANNED_FILES,
    SHOWN_CHECKS,
    TITLE_CHARS,
    UPDATE_ROUNDS,
)
from juggernaut.domain.model import Json
from juggernaut.domain.pull_rules import commit_text
from juggernaut.domain.pull_steps import Move, Step, step_of
from juggernaut.domain.pulls import Pull, PullView
from juggernaut.domain.redact import shorten
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.change import open_tree, push
from juggernaut.lifecycle.draft import Draft, GoOn, branch_of, pull_title
from juggernaut.lifecycle.effect import once
from juggernaut.lifecycle.waits import closed, moved, wait_at_forge

OWNER = "a person: look at the pull request, then retry_task for more rounds, or cancel_task"


@dataclass(frozen=True, slots=True)
class Turn:
    """A draft that has its turn to merge; `conflicts`: files that do not go with the new base."""

    draft: Draft
    conflicts: tuple[str, ...] = ()


async def begin_files(attempt: Attempt) -> None:
    """Begin work on the files that the task names; ends the attempt while others work on them."""
    named = attempt.task.payload.get("files")
    if not isinstance(named, list | tuple):
        return
    files = [name for name in named[:PLANNED_FILES] if isinstance(name, str) and name]
    if not files:
        return
    store = attempt.services.store
    decision = await store.begin_files(attempt.lease, attempt.repo, files)
    if decision is None:
        raise LeaseLost(f"task {attempt.task.id} is not held by this attempt any more")
    if not decision.go:
        raise Parked(decision.reason)


async def look_first(attempt: Attempt, draft: Draft) -> Step | None:
    """Look at the open pull request of an earlier draft; None when there is none yet."""
    state = await attempt.services.store.pull_state(attempt.task.id)
    if state is None:
        return None
    step, _ = await _look(attempt, draft, state.number)
    return step


async def go_on(attempt: Attempt, draft: Draft, pull: Pull) -> Step:
    """Give the next step that is ours; ends the attempt while it is somebody else's."""
    step, view = await _decided(attempt, draft, pull.number)
    if step.move is Move.READY:
        await attempt.check_held()
        await attempt.services.forge.mark_ready(attempt.repo, pull.number)
        step, view = await _decided(attempt, draft, pull.number)
    if step.move is Move.READY:
        step = Step(Move.WAIT, "it is a draft again", "review", "a person: mark it as ready")
    if step.move is Move.WAIT:
        await wait_at_forge(attempt, step, view.stamp)
    return step


async def _decided(attempt: Attempt, draft: Draft, number: int) -> tuple[Step, PullView]:
    """Look until the forge has worked out whether it can merge: that takes it some seconds."""
    for _ in range(DECIDING_LOOKS):
        step, view = await _look(attempt, draft, number)
        if step.waits_for != "forge":
            break
        await attempt.services.clock.sleep(DECIDING_SECONDS)
    return step, view


async def _look(attempt: Attempt, draft: Draft, number: int) -> tuple[Step, PullView]:
    """Look, and end the attempt when the pull request is not ours to go on with any more."""
    view = await attempt.services.forge.look(attempt.repo, number)
    if view is None:
        raise PullClosed(f"pull request #{number} is gone from the forge; cancel the task")
    state = await attempt.services.store.pull_state(attempt.task.id)
    step = step_of(view, draft.head, state.handled if state else frozenset())
    if step.move is Move.CLOSED:
        await closed(attempt, view.pull)
    if step.move is Move.MOVED:
        await moved(attempt, view.pull)
    return step, view


# Mending ------------------------------------------------------------------------------------------


async def trouble(attempt: Attempt, step: Step) -> str:
    """Begin a round of mending; gives what the code agent is told, all of it from outside."""
    if step.mends:  # an update was counted when it was tried
        await _count(attempt, "fix", FIX_ROUNDS, step.reason)
    parts = [step.reason]
    for check in step.checks[:SHOWN_CHECKS]:
        log = await attempt.services.forge.check_log(attempt.repo, check)
        parts.append(f"The check {check.name} failed. {check.text}\n{log}")
    parts += [
        f"{item.author} said of the pull request:\n{shorten(item.text, EXCERPT_CHARS)}"
        for item in step.remarks
    ]
    return "\n\n".join(parts)


async def answer(attempt: Attempt, step: Step, before: Draft, after: Draft) -> None:
    """Answer what was said, once each, and mark it as dealt with.

    Raises AgentFailed when nothing was changed although a check is red.
    """
    if after.head == before.head and step.move is not Move.REMARKS:
        raise AgentFailed(f"the agent changed nothing, but: {step.reason}")
    done = f"Changed in {after.head}." if after.head != before.head else "Nothing was changed."
    summary = attempt.scrub(str(after.agent.get("summary", "")), TITLE_CHARS)
    forge, state = attempt.services.forge, await attempt.services.store.pull_state(attempt.task.id)
    for remark in step.remarks if state else ():
        key = f"answer:{remark.key}"
        text = f"{done} {summary}" if summary else done

        async def say(key: str = key, text: str = text, to: str = remark.comment) -> Json:
            """Write the answer."""
            number = state.number if state else 0
            return {"id": await forge.say(attempt.repo, number, key, text, to)}

        await once(attempt, "say", key, {"key": key}, look_up=_none, perform=say)
    keys = [remark.key for remark in step.remarks]
    if keys:
        landed = await attempt.services.store.handle_news(attempt.lease, "comments", keys)
        attempt.holds(landed)


async def sent_back(attempt: Attempt, problem: str) -> Step:
    """Send a change back that became red: it gives its turn to the next."""
    attempt.holds(await attempt.services.store.leave_turn(attempt.lease))
    await attempt.log("sent_back", f"the newer commit is red: {problem}", level="warning")
    return Step(Move.SENT_BACK, f"After the last change, or on the newest base:\n{problem}")


async def note_flaky(attempt: Attempt, draft: Draft, problem: str) -> None:
    """Record that the same commit was red and then green."""
    key = f"flaky:{draft.head}"
    attempt.holds(await attempt.services.store.handle_news(attempt.lease, "flaky", [key]))
    await attempt.log(
        "flaky", f"red once and then green at {draft.head}: {problem}", level="warning"
    )


# The train ----------------------------------------------------------------------------------------


async def take_turn(
    attempt: Attempt,
    draft: Draft,
    refuse: Callable[[Sequence[str]], str | None],
    *,
    behind: bool,
) -> Turn:
    """Take the turn to merge, with the draft on the newest base; ends the attempt if it is not.

    A draft that had to be replayed has another head, and has to be verified there. Where the forge
    has a queue of its own only what is `behind` the base is replayed.
    """
    services = attempt.services
    promises = await services.forge.promises(attempt.repo)
    if promises.merge_queue:
        return await _replay(attempt, draft, refuse) if behind else Turn(draft)
    got = await services.store.take_turn(attempt.lease, attempt.repo)
    if got is None:
        raise LeaseLost(f"task {attempt.task.id} is not held by this attempt any more")
    if got["holder"] != attempt.task.id:
        reason = f'task {got["holder"]} "{got["title"]}" has the turn to merge'
        await wait_at_forge(attempt, Step(Move.WAIT, reason, "turn", "that task"), "")
    if await services.forge.branch_head(attempt.repo, None) == draft.base:
        return Turn(draft)
    return await _replay(attempt, draft, refuse)


async def _replay(
    attempt: Attempt, draft: Draft, refuse: Callable[[Sequence[str]], str | None]
) -> Turn:
    """Put the draft's change on the newest base and push it, when it applies there."""
    await _count(attempt, "update", UPDATE_ROUNDS, "the base went on again and again")
    after = GoOn(draft, None)
    workspace = await open_tree(attempt, after)
    try:
        if workspace.conflicts:
            return Turn(draft, workspace.conflicts)
        trailers = attempt.services.settings.pulls.trailers
        text = commit_text(pull_title(attempt.task), attempt.task, trailers)
        change = await workspace.commit(text)
        wrong = refuse(change.files) if change else "the base has all of it already"
        if change is None or wrong is not None:
            raise AgentFailed(f"the change cannot go on the newest base: {wrong}")
        newer = await push(attempt, workspace, change, draft.agent, after)
    finally:
        await workspace.close()
    message = f"the change of {draft.head} is {newer.head} on the newest base {newer.base}"
    await attempt.log("train_replayed", message, metadata={"branch": branch_of(attempt.task)})
    return Turn(newer)


async def _count(attempt: Attempt, kind: str, most: int, reason: str) -> None:
    """Count a round; beyond the last one the task waits for a person."""
    if await attempt.services.store.count_round(attempt.lease, kind, most):
        return
    await attempt.services.store.leave_turn(attempt.lease)
    rounds = "rounds of mending" if kind == "fix" else "updates of the base"
    await attempt.block(f"{most} {rounds} were not enough: {reason}", OWNER)


async def _none() -> Json | None:
    """Find nothing: the forge itself says each thing once."""
    return None
