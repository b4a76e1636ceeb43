"""Pushed: under which keys the ledger keeps a pushed commit, and as the answer to what."""

from __future__ import annotations

from juggernaut.domain.model import Sha, Task
from juggernaut.domain.plans import asked_of, feedback_of
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.draft import Draft, branch_of, read_draft
from juggernaut.lifecycle.effect import recall_effect

_ASKED_CHARS = 16


def push_key(task: Task, head: Sha) -> str:
    """Name the push of one commit."""
    return f"{branch_of(task)}@{head}"


def again_key(attempt: Attempt, head: Sha) -> str:
    """Name the push of a commit that was the answer to something else before.

    Commits alike of one second are one commit, and what the ledger has confirmed stays.
    """
    task = attempt.task
    asked = asked_of(task, attempt.repo)[:_ASKED_CHARS]
    return f"{push_key(task, head)}@{asked}.{len(feedback_of(task.payload))}"


async def recall_draft(attempt: Attempt, head: Sha) -> Draft | None:
    """Recall a commit that this task pushed, as the answer to what it asks for now if it is one."""
    facts = await recall_effect(attempt, "push", push_key(attempt.task, head))
    draft = None if facts is None else read_draft(facts)
    if draft is None or draft.answers(attempt.task, attempt.repo, edited=False):
        return draft
    facts = await recall_effect(attempt, "push", again_key(attempt, head))
    return draft if facts is None else read_draft(facts)
