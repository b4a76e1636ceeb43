"""Hand-off: what a code agent leaves behind that had to stop at a bound.

Its note and its diff go into execution_logs, and to the next attempt as data. A legal diff is
kept as a commit on the task's branch. It is no draft: nobody verified it, so no pull request is
opened for it, and one that is open is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from juggernaut.domain.errors import ForgeError, InvalidInput
from juggernaut.domain.exchange import AgentRequest, AgentResult
from juggernaut.domain.limits import LOG_MESSAGE_CHARS
from juggernaut.domain.model import Json
from juggernaut.domain.plans import asked_of
from juggernaut.domain.pulls import Change
from juggernaut.domain.redact import shorten
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.effect import once
from juggernaut.ports import Workspace

ACTION = "handoff"
EARLIER = (
    "The task was changed after this hand-off was written: where the two differ, the task counts."
)


async def take_up(attempt: Attempt, request: AgentRequest) -> AgentRequest:
    """Add to a request what the newest hand-off of the task said."""
    left = await attempt.services.store.handoff(attempt.task)
    if left is None:
        return request
    said = f"It stopped because: {left.get('reason')}\n\n{left['note']}"
    if left.get("diff"):
        said += f"\n\nIts unverified changes, which are not in the work tree:\n{left['diff']}"
    framed = attempt.framed(said, "the hand-off of an earlier attempt")
    # One of before that was kept says nothing of its text.
    if left.get("asked", asked := asked_of(attempt.task, attempt.repo)) != asked:
        framed = f"{EARLIER}\n\n{framed}"
    return replace(request, prompt=f"{request.prompt}\n\n{framed}")


async def leave(
    attempt: Attempt,
    workspace: Workspace,
    branch: str,
    result: AgentResult,
    refuse: Callable[[Sequence[str]], str | None],
) -> None:
    """Keep the work of an agent that stopped at a bound, and log its note."""
    facts: dict[str, object] = {"reason": result.reason, "branch": branch, "turns": result.turns}
    facts["asked"] = asked_of(attempt.task, attempt.repo)
    try:
        change = await workspace.commit(f"Work in progress, not verified\n\n{attempt.task.id}\n")
        wrong = refuse(change.files) if change else None
        if change and wrong is None:
            facts["diff"] = shorten(change.diff, LOG_MESSAGE_CHARS)
            facts["kept"] = await _keep(attempt, workspace, branch, change)
        elif wrong:
            facts["kept"] = f"nothing: {wrong}"
    except (InvalidInput, ForgeError) as error:
        facts["kept"] = f"nothing: {error}"
    await attempt.log(ACTION, result.handoff or "", level="warning", metadata=facts)


async def _keep(attempt: Attempt, workspace: Workspace, branch: str, change: Change) -> str:
    """Push the commit, unless an open pull request shows the branch to people."""
    forge, repo = attempt.services.forge, attempt.repo
    pull = await forge.find_pull(repo, branch)
    if pull is not None and pull.state == "open":
        return f"nothing: pull request #{pull.number} is open"
    expected = await forge.branch_head(repo, branch)

    async def look_up() -> Json | None:
        """See whether the branch is at this commit already."""
        return {"head": change.head} if expected == change.head else None

    async def perform() -> Json:
        """Push."""
        await workspace.push(change, expected)
        return {"head": change.head}

    request = {"branch": branch, "head": change.head, "expected": expected}
    key = f"{branch}@{change.head}"
    await once(attempt, ACTION, key, request, look_up=look_up, perform=perform)
    return change.head
