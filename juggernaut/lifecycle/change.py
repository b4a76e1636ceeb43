"""Change: a draft on the branch feature/<task id>, its pull request, its merge.

One task has one branch and one pull request, whatever its attempts go through. An attempt that
finds a draft of an earlier one goes on from there; what the ledger does not know is never taken
for work of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from juggernaut.domain import faults
from juggernaut.domain.agents import silent
from juggernaut.domain.errors import (
    AgentFailed,
    BudgetExhausted,
    InvalidInput,
    NotQueued,
    PullClosed,
)
from juggernaut.domain.exchange import AgentRequest, AgentResult
from juggernaut.domain.limits import TITLE_CHARS
from juggernaut.domain.model import Json, Sha
from juggernaut.domain.plans import asked_of, feedback_of
from juggernaut.domain.pull_rules import commit_text
from juggernaut.domain.pulls import Change, Pull
from juggernaut.domain.redact import mask_known, shorten
from juggernaut.lifecycle import fork, handoff, quality, record
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.draft import Draft, GoOn, Landed, branch_of, draft_of, pull_title
from juggernaut.lifecycle.drive import drive, notes_of
from juggernaut.lifecycle.effect import once, recall_effect
from juggernaut.lifecycle.pushed import again_key, push_key, recall_draft
from juggernaut.lifecycle.unfetched import say_unfetched
from juggernaut.lifecycle.waits import (
    closed,
    merged_early,
    merged_elsewhere,
    moved,
    not_queued,
    queued,
    row_lock,
)
from juggernaut.ports import Asker, Workspace

CHECK_NAME = "juggernaut/verify"


async def find_draft(attempt: Attempt) -> Draft | Landed | None:
    """Find what an earlier attempt pushed and proposed, or even merged.

    A draft that a person sent back, or that was written for an earlier text, is not taken up
    again, and merged it blocks the task. A closed pull request is an answer (PullClosed). One
    that was merged at a commit which this task never pushed blocks the task, unless the merge
    was reported: then it is measured.
    """
    pull = await attempt.services.forge.find_pull(attempt.repo, branch_of(attempt.task))
    report = await attempt.services.store.reported_merge(attempt.lease)
    if report is not None and (pull is None or pull.state != "closed"):
        return await _read_landed(attempt, pull, report)
    if pull is None:
        return None
    if pull.state == "closed":
        await closed(attempt, pull)
    await _check_ours(attempt, pull)
    draft = await recall_draft(attempt, pull.head_sha)
    answers = draft is not None and await _answers(attempt, draft)
    if pull.state != "merged":
        return draft if answers else None
    if draft is None or pull.merged_sha is None:
        await merged_elsewhere(attempt, pull)
    if not answers:
        await merged_early(attempt, pull, bool(draft.asked))
    return Landed(draft, pull, pull.merged_sha)


async def write_draft(
    attempt: Attempt,
    request: Callable[[str], AgentRequest],
    ask: Asker,
    refuse: Callable[[Sequence[str]], str | None],
    after: GoOn | None = None,
) -> Draft:
    """Let the code agent work in a tree, commit what it changed, and push that.

    `request` gets the work tree's path; `refuse` names what is wrong with the changed files;
    `after`: the draft that it goes on from, which is given back when the agent changed nothing.
    Raises AgentFailed without a usable change.
    """
    services, task = attempt.services, attempt.task
    branch = branch_of(task)
    forked = None if after else await fork.begin(attempt, ask)
    workspace = await (forked.open() if forked else open_tree(attempt, after))
    results: list[AgentResult] = []

    async def drafted(asked: AgentRequest) -> Change:
        """Let the agent work in the tree, and commit what is there then."""
        change, again = after.draft.head if after else None, bool(results)
        await record.begin(attempt, asked, workspace.base, change, same_tree=again)
        hear = forked.hear if forked else silent
        result = await drive(attempt, asked, forked or ask, results, hear)
        results.append(result)
        if result.handoff is not None:
            await handoff.leave(attempt, workspace, branch, result, refuse)
        _check_agent(result)
        return await _commit(attempt, workspace, refuse)

    try:
        lacks = await say_unfetched(attempt, workspace.path)
        asked = await handoff.take_up(attempt, request(str(workspace.path)))
        asked = forked.request(asked) if forked else asked
        change = await drafted(asked)
        change, found = await quality.settle(attempt, workspace, change, asked, drafted)
        agent = {
            "name": services.agent.name,
            "turns": sum(result.turns for result in results),
            "tool_uses": sum(result.tool_uses for result in results),
            "summary": attempt.scrub(results[0].summary, TITLE_CHARS),
            "answers": len(feedback_of(task.payload)),
            "quality": found,
            **notes_of(results),
            **({"not_fetched": list(lacks)} if lacks else {}),
            **(forked.facts() if forked else {}),
        }
        return await push(attempt, workspace, change, agent, after)
    finally:
        await workspace.close()


async def open_tree(attempt: Attempt, after: GoOn | None) -> Workspace:
    """Open a tree at the default branch's head, or one with the change of an earlier draft."""
    workspaces, branch = attempt.services.workspaces, branch_of(attempt.task)
    if after is None:
        return await workspaces.open(attempt.repo, branch, attempt.name)
    return await workspaces.resume(attempt.repo, branch, after.draft.head, attempt.name, after.onto)


def _check_secrets(attempt: Attempt, diff: str) -> None:
    """Raise AgentFailed when a line that is added holds a secret of this process, in any form.

    It would stay in the history, and where the repository is public, everybody would have it.
    """
    added = "\n".join(line for line in diff.split("\n") if line.startswith("+"))
    if mask_known(added, attempt.services.settings.secrets) != added:
        raise AgentFailed("the change was refused: it adds a secret of the worker itself")


async def _commit(
    attempt: Attempt, workspace: Workspace, refuse: Callable[[Sequence[str]], str | None]
) -> Change:
    """Commit what the agent changed; raises AgentFailed when that is no usable change."""
    task = attempt.task
    text = commit_text(pull_title(task), task, attempt.services.settings.pulls.trailers)
    try:
        change = await workspace.commit(text)
    except InvalidInput as error:
        raise AgentFailed(f"the change was refused: {error}") from error
    if change is None:
        raise AgentFailed("no change: the agent finished without changing a file")
    _check_secrets(attempt, change.diff)
    wrong = refuse(change.files)
    if wrong is not None:
        raise AgentFailed(wrong)
    return change


async def post_check(
    attempt: Attempt, draft: Draft, passed: bool, text: str, doubts: Sequence[str]
) -> None:
    """Record the verifier's answer at the draft's commit, where the merge looks for it."""
    forge, repo = attempt.services.forge, attempt.repo

    async def perform() -> Json:
        """Write the check; a repeat replaces it."""
        await forge.post_check(repo, draft.head, CHECK_NAME, passed, text)
        return {"name": CHECK_NAME, "sha": draft.head, "passed": passed, "doubts": list(doubts)}

    key = _check_key(draft.head, passed)
    await once(attempt, "check", key, {"passed": passed}, look_up=_nothing, perform=perform)


async def doubts_of(attempt: Attempt, draft: Draft) -> tuple[str, ...]:
    """Recall what an earlier attempt found doubtful at the draft's commit."""
    facts = await recall_effect(attempt, "check", _check_key(draft.head, True)) or {}
    found = facts.get("doubts")
    return tuple(map(str, found)) if isinstance(found, list | tuple) else ()


async def open_pull(attempt: Attempt, draft: Draft, body: str, labels: Sequence[str] = ()) -> Pull:
    """Open the task's pull request with these labels, or find the open one."""
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
        title = pull_title(attempt.task)
        pull = await forge.open_pull(repo, branch, title, body, draft=True, labels=labels)
        found.append(pull)
        lacks = set(labels) - set(labels if pull.labels is None else pull.labels)
        if lacks:
            said = f"pull request #{pull.number} lacks labels: {', '.join(sorted(lacks))}"
            await attempt.log("labels_refused", said, level="warning")
        return _pull_facts(pull)

    facts = {"branch": branch, "title": pull_title(attempt.task)}
    async with row_lock(attempt):
        await once(attempt, "pull", branch, facts, look_up=look_up, perform=perform)
    pull = found[-1] if found else await forge.find_pull(repo, branch)
    if pull is None:
        raise PullClosed(f"the pull request of {branch} is gone from the forge; cancel the task")
    faults.reach("pull.done")
    store, lease = attempt.services.store, attempt.lease
    attempt.holds(await store.note_pull(lease, repo, branch, pull.number, draft.head))
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
        """Merge; where the forge only queues it, wait for the queue."""
        try:
            done = await forge.merge(repo, pull.number, draft.head, title, body)
        except NotQueued as error:
            await not_queued(attempt, pull, error)
        if done.state == "open":
            await queued(attempt, draft.head)
        return _pull_facts(done)

    key = f"{pull.number}@{draft.head}"
    request = {"expected": draft.head}
    async with row_lock(attempt):
        facts = await once(attempt, "merge", key, request, look_up=look_up, perform=perform)
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
    agent = {"name": "plain SQL", "worker": report["worker"], "login": report["login"]}
    draft = draft_of(change, pull.head_sha, agent, attempt.services.settings.secrets)
    return Landed(draft, pull, merged, reported=True)


async def push(
    attempt: Attempt,
    workspace: Workspace,
    change: Change,
    agent: Json,
    after: GoOn | None = None,
) -> Draft:
    """Push a commit from exactly the head of `after`, or the one that the branch has now.

    A change that is the one of `after` is not pushed again.
    """
    forge, repo, branch = attempt.services.forge, attempt.repo, branch_of(attempt.task)
    made = draft_of(change, change.head, agent, attempt.services.settings.secrets)
    draft = replace(made, asked=asked_of(attempt.task, repo))
    if after is not None and draft.same_change(after.draft):
        return after.draft
    expected = after.draft.head if after else await forge.branch_head(repo, branch)

    async def look_up() -> Json | None:
        """See whether the branch is at this commit already."""
        return draft.facts() if expected == draft.head else None

    async def perform() -> Json:
        """Push."""
        await workspace.push(change, expected)
        return draft.facts()

    request = {"branch": branch, "head": draft.head, "expected": expected}
    key = push_key(attempt.task, draft.head)
    # Commits alike of one second are one commit, and somebody may have pushed over the first.
    await once(attempt, "push", key, request, look_up=look_up, perform=perform, lasts=False)
    if expected == draft.head:
        key = again_key(attempt, draft.head)
        await once(attempt, "push", key, request, look_up=look_up, perform=perform)
    faults.reach("push.done")
    store = attempt.services.store
    attempt.holds(await store.note_files(attempt.lease, repo, draft.files))
    return draft


async def _answers(attempt: Attempt, draft: Draft) -> bool:
    """Say whether a draft answers what the task asks for now, and log where it does not."""
    edited = True
    if not draft.asked:  # written before that was kept
        state = await attempt.services.store.pull_state(attempt.task.id)
        edited = state is None or state.edited
    if draft.answers(attempt.task, attempt.repo, edited):
        return True
    said = f"{draft.head} was written before the task was changed or sent back"
    await attempt.log("draft_dropped", said)
    return False


async def _check_ours(attempt: Attempt, pull: Pull) -> None:
    """Block the task when somebody else pushed to the branch of a pull request that we opened.

    Once a person gave the task back, what they saw there may be written over.
    """
    store, task = attempt.services.store, attempt.task
    known = await store.pull_state(task.id)
    if pull.state != "open" or known is None or known.head == pull.head_sha:
        return
    if await store.pushed(task.id, push_key(task, pull.head_sha)) is None:
        await moved(attempt, pull)


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


def _check_key(head: Sha, passed: bool) -> str:
    """Name the verifier's answer at one commit."""
    return f"{CHECK_NAME}@{head}:{'passed' if passed else 'failed'}"


def _pull_facts(pull: Pull) -> dict[str, object]:
    """Give what the ledger keeps of a pull request."""
    return {
        "number": pull.number,
        "url": pull.url,
        "state": pull.state,
        "head": pull.head_sha,
        "merged_sha": pull.merged_sha,
    }
