"""Change: a draft on the branch feature/<task id>, its pull request, its merge.

One task has one branch and one pull request, whatever its attempts go through. An attempt that
finds a draft of an earlier one goes on from there; what the ledger does not know is never taken
for work of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from juggernaut.domain import faults
from juggernaut.domain.errors import AgentFailed, BudgetExhausted, InvalidInput, PullClosed
from juggernaut.domain.exchange import AgentRequest, AgentResult
from juggernaut.domain.limits import DIFF_BYTES, TITLE_CHARS
from juggernaut.domain.model import Json, Sha, Task
from juggernaut.domain.plans import feedback_of
from juggernaut.domain.pulls import Change, Pull
from juggernaut.domain.redact import shorten
from juggernaut.lifecycle import handoff
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.effect import once, recall_effect
from juggernaut.ports import Asker, Workspace

CHECK_NAME = "juggernaut/verify"


@dataclass(frozen=True, slots=True)
class Draft:
    """A pushed commit on the task's branch, and how the code agent made it."""

    head: Sha
    base: Sha
    files: tuple[str, ...]
    added: int
    removed: int
    diff: str
    agent: Json

    def answers(self, task: Task) -> bool:
        """Say whether it was written after everything that people sent back."""
        return self.agent.get("answers", 0) == len(feedback_of(task.payload))

    def facts(self) -> dict[str, object]:
        """Give the form in which the ledger of effects keeps a draft."""
        return {
            "head": self.head,
            "base": self.base,
            "files": list(self.files),
            "added": self.added,
            "removed": self.removed,
            "diff": self.diff,
            "agent": dict(self.agent),
        }


@dataclass(frozen=True, slots=True)
class Landed:
    """A pull request that was merged, with the draft that went into it.

    `reported`: a plain-SQL worker merged it, and no gate has seen it yet.
    """

    draft: Draft
    pull: Pull
    merged: Sha
    reported: bool = False


def branch_of(task: Task) -> str:
    """Name the one branch of a task."""
    return f"feature/{task.id}"


def pull_title(task: Task) -> str:
    """Give the title of the task's pull request."""
    return f"{task.id}: {' '.join(task.title.split())}"[:TITLE_CHARS]


async def find_draft(attempt: Attempt) -> Draft | Landed | None:
    """Find what an earlier attempt pushed and proposed, or even merged.

    A draft that a person sent back is not taken up again. A closed pull request is an answer
    (PullClosed). One that was merged at a commit which this task never pushed blocks the task,
    unless the merge was reported: then it is measured.
    """
    pull = await attempt.services.forge.find_pull(attempt.repo, branch_of(attempt.task))
    report = await attempt.services.store.reported_merge(attempt.lease)
    if report is not None and (pull is None or pull.state != "closed"):
        return await _read_landed(attempt, pull, report)
    if pull is None:
        return None
    if pull.state == "closed":
        raise PullClosed(
            f"pull request #{pull.number} of task {attempt.task.id} was closed without a merge;"
            " reopen it or cancel the task"
        )
    key = _push_key(attempt.task, pull.head_sha)
    facts = await recall_effect(attempt, "push", key)
    draft = None if facts is None else _read_draft(facts)
    if pull.state != "merged":
        return draft if draft is None or draft.answers(attempt.task) else None
    if draft is None or pull.merged_sha is None:
        await attempt.block(
            f"pull request #{pull.number} was merged at {pull.head_sha}, which this task"
            " did not push",
            "a person: look at the merge, then cancel the task or open a new one",
        )
    return Landed(draft, pull, pull.merged_sha)


async def write_draft(
    attempt: Attempt,
    request: Callable[[str], AgentRequest],
    ask: Asker,
    refuse: Callable[[Sequence[str]], str | None],
) -> Draft:
    """Let the code agent work in a fresh tree, commit what it changed, and push that.

    `request` gets the work tree's path; `refuse` names what is wrong with the changed files.
    Raises AgentFailed without a usable change.
    """
    services, task = attempt.services, attempt.task
    branch = branch_of(task)
    workspace = await services.workspaces.open(attempt.repo, branch, attempt.name)
    try:
        asked = await handoff.take_up(attempt, request(str(workspace.path)))
        result = await services.agent.execute(asked, ask, services.sandbox)
        if result.handoff is not None:
            await handoff.leave(attempt, workspace, branch, result, refuse)
        _check_agent(result)
        try:
            change = await workspace.commit(f"{pull_title(task)}\n\nTask: {task.id}\n")
        except InvalidInput as error:
            raise AgentFailed(f"the change was refused: {error}") from error
        if change is None:
            raise AgentFailed("no change: the agent finished without changing a file")
        wrong = refuse(change.files)
        if wrong is not None:
            raise AgentFailed(wrong)
        agent = {
            "name": services.agent.name,
            "turns": result.turns,
            "tool_uses": result.tool_uses,
            "summary": attempt.scrub(result.summary, TITLE_CHARS),
            "answers": len(feedback_of(task.payload)),
        }
        return await _push(attempt, workspace, change, agent)
    finally:
        await workspace.close()


async def post_check(attempt: Attempt, draft: Draft, passed: bool, text: str) -> None:
    """Record the verifier's answer at the draft's commit, where the merge looks for it."""
    forge, repo = attempt.services.forge, attempt.repo

    async def perform() -> Json:
        """Write the check; a repeat replaces it."""
        await forge.post_check(repo, draft.head, CHECK_NAME, passed, text)
        return {"name": CHECK_NAME, "sha": draft.head, "passed": passed}

    key = f"{CHECK_NAME}@{draft.head}:{'passed' if passed else 'failed'}"
    await once(attempt, "check", key, {"passed": passed}, look_up=_nothing, perform=perform)


async def open_pull(attempt: Attempt, draft: Draft, body: str) -> Pull:
    """Open the task's pull request, or find the open one."""
    forge, repo, branch = attempt.services.forge, attempt.repo, branch_of(attempt.task)
    found: list[Pull] = []

    async def look_up() -> Json | None:
        """Find the open pull request of the branch."""
        pull = await forge.find_pull(repo, branch)
        if pull is None or pull.state != "open":
            return None
        found.append(pull)
        return _pull_facts(pull)

    async def perform() -> Json:
        """Open it."""
        pull = await forge.open_pull(repo, branch, pull_title(attempt.task), body)
        found.append(pull)
        return _pull_facts(pull)

    facts = {"branch": branch, "title": pull_title(attempt.task)}
    await once(attempt, "pull", branch, facts, look_up=look_up, perform=perform)
    pull = found[-1] if found else await forge.find_pull(repo, branch)
    if pull is None:
        raise PullClosed(f"the pull request of {branch} is gone from the forge; cancel the task")
    faults.reach("pull.done")
    return pull


async def merge(attempt: Attempt, draft: Draft, pull: Pull, body: str) -> Landed:
    """Squash-merge exactly the draft's head, once; raises HeadMoved, PullConflict, ForgeError."""
    forge, repo = attempt.services.forge, attempt.repo
    title = pull_title(attempt.task)

    async def look_up() -> Json | None:
        """See whether an earlier attempt merged it and died before it could say so."""
        now = await forge.find_pull(repo, branch_of(attempt.task))
        if now is None or now.state != "merged" or now.head_sha != draft.head:
            return None
        return _pull_facts(now)

    async def perform() -> Json:
        """Merge."""
        return _pull_facts(await forge.merge(repo, pull.number, draft.head, title, body))

    key = f"{pull.number}@{draft.head}"
    facts = await once(
        attempt, "merge", key, {"expected": draft.head}, look_up=look_up, perform=perform
    )
    faults.reach("merge.done")
    merged = facts.get("merged_sha")
    if not isinstance(merged, str):
        raise PullClosed(f"pull request #{pull.number} was not merged: {facts.get('state')}")
    return Landed(draft, pull, Sha(merged))


async def _read_landed(attempt: Attempt, pull: Pull | None, report: Json) -> Landed:
    """Measure a merge that a plain-SQL worker reported, by the merged commit itself."""
    merged = pull.merged_sha if pull else None
    if pull is None or merged is None:
        await attempt.block(
            f"{report['worker']} reported a merge, but the forge shows"
            f" {'an open' if pull else 'no'} pull request of {branch_of(attempt.task)}",
            "a person: look at the forge, then cancel the task or open a new one",
        )
    tree = await attempt.services.workspaces.checkout(attempt.repo, merged, attempt.name)
    try:
        change = await tree.landed()
    finally:
        await tree.close()
    draft = Draft(
        head=pull.head_sha,
        base=change.base,
        files=change.files,
        added=change.added,
        removed=change.removed,
        diff=attempt.scrub(change.diff, DIFF_BYTES),
        agent={"name": "plain SQL", "worker": report["worker"], "login": report["login"]},
    )
    return Landed(draft, pull, merged, reported=True)


async def _push(attempt: Attempt, workspace: Workspace, change: Change, agent: Json) -> Draft:
    """Push a commit from exactly the head that the branch has now."""
    forge, repo, branch = attempt.services.forge, attempt.repo, branch_of(attempt.task)
    draft = Draft(
        head=change.head,
        base=change.base,
        files=change.files,
        added=change.added,
        removed=change.removed,
        diff=attempt.scrub(change.diff, DIFF_BYTES),
        agent=agent,
    )
    expected = await forge.branch_head(repo, branch)

    async def look_up() -> Json | None:
        """See whether the branch is at this commit already."""
        return draft.facts() if expected == draft.head else None

    async def perform() -> Json:
        """Push."""
        await workspace.push(change, expected)
        return draft.facts()

    request = {"branch": branch, "head": draft.head, "expected": expected}
    key = _push_key(attempt.task, draft.head)
    await once(attempt, "push", key, request, look_up=look_up, perform=perform)
    faults.reach("push.done")
    return draft


def _check_agent(result: AgentResult) -> None:
    """Raise AgentFailed for an agent that did not finish, or that only claims to have worked.

    BudgetExhausted, with the purse's own words, for one that ran out of money or tokens.
    """
    if result.purse is not None:
        raise BudgetExhausted(result.purse)
    if not result.finished:
        raise AgentFailed(shorten(result.reason or "the agent gave no reason", TITLE_CHARS))
    if result.tool_uses < 1:
        raise AgentFailed("the agent claims success without having used a tool")


async def _nothing() -> Json | None:
    """Find nothing: for an effect that a repeat simply replaces."""
    return None


def _push_key(task: Task, head: Sha) -> str:
    """Name the push of one commit."""
    return f"{branch_of(task)}@{head}"


def _pull_facts(pull: Pull) -> dict[str, object]:
    """Give what the ledger keeps of a pull request."""
    return {
        "number": pull.number,
        "url": pull.url,
        "state": pull.state,
        "head": pull.head_sha,
        "merged_sha": pull.merged_sha,
    }


def _read_draft(facts: Json) -> Draft:
    """Read a draft back from the ledger; raises InvalidInput when it is not one."""
    files, agent = facts.get("files"), facts.get("agent")
    added, removed = facts.get("added"), facts.get("removed")
    if (
        not isinstance(files, list | tuple)
        or not isinstance(agent, dict)
        or not isinstance(added, int)
        or not isinstance(removed, int)
    ):
        raise InvalidInput("the ledger holds a push without the facts of its draft")
    return Draft(
        head=Sha(str(facts.get("head"))),
        base=Sha(str(facts.get("base"))),
        files=tuple(str(path) for path in files),
        added=added,
        removed=removed,
        diff=str(facts.get("diff")),
        agent=agent,
    )
