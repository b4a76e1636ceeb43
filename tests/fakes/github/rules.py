"""How a pull request stands: what its branches are now, and what stops its merge."""

from __future__ import annotations

from dataclasses import dataclass

from tests.fakes.github.state import Judgement, Protection, PullRecord, Repo, State

GREEN = frozenset({"success", "neutral", "skipped"})
OPINIONS = frozenset({"APPROVED", "CHANGES_REQUESTED", "DISMISSED"})


@dataclass(frozen=True, slots=True)
class Signal:
    """The newest word of one check or status: green, red or pending."""

    name: str
    state: str


def follow(state: State, repo: Repo) -> None:
    """Bring the open pull requests up to what their branches are now."""
    refs = repo.bare.refs()
    for pull in repo.pulls.values():
        if pull.state == "open":
            _follow_one(state, repo, pull, refs)


def _follow_one(state: State, repo: Repo, pull: PullRecord, refs: dict[str, str]) -> None:
    """Move one pull request after its head and its base."""
    head = refs.get(f"refs/heads/{pull.head_ref}")
    base = refs.get(f"refs/heads/{pull.base_ref}")
    if head is None or base is None:
        _close(state, pull, None)
        return
    pushed = head != pull.head_sha
    if pushed:
        pull.head_sha, pull.base_sha, pull.updated_at = head, base, state.now()
        repo.bare.put(f"refs/pull/{pull.number}/head", head)
        _dismiss_stale(repo, pull)
    if (pushed or base != pull.base_seen) and repo.bare.contains(base, head):
        if pushed and base == pull.base_seen:
            _close(state, pull, None)  # pushed back to where the base is: nothing is left
        else:
            _merged_by_push(state, pull, base)
    pull.base_seen = base


def _close(state: State, pull: PullRecord, login: str | None) -> None:
    """Close without a merge."""
    pull.state, pull.closed_at, pull.closed_by = "closed", state.now(), login
    pull.updated_at, pull.auto_merge, pull.queued = state.now(), None, False


def _merged_by_push(state: State, pull: PullRecord, base: str) -> None:
    """Mark as merged: somebody pushed a base that contains the head."""
    _close(state, pull, None)
    pull.merged_at, pull.merged_sha = state.now(), base


def _dismiss_stale(repo: Repo, pull: PullRecord) -> None:
    """Take approvals of an older head away where the rules say so."""
    rules = repo.protections.get(pull.base_ref)
    if rules and rules.dismiss_stale:
        for review in pull.reviews:
            if review.state == "APPROVED":
                review.state = "DISMISSED"


def judge(repo: Repo, pull: PullRecord, *, at_once: bool = False) -> Judgement | None:
    """Read the mergeability as a client does: null at first, the truth a little later.

    `at_once` is for those who cannot wait, as the merge itself.
    """
    known = pull.judgement
    if known is None or (known.head, known.base) != (pull.head_sha, pull.base_seen):
        known = Judgement(pull.head_sha, pull.base_seen, repo.slow_mergeability)
        pull.judgement = known
    if known.reads > 0 and not at_once:
        known.reads -= 1
        return None
    if not known.done:
        tree = repo.bare.merged_tree(known.base, known.head)
        known.done, known.clean = True, tree is not None
        if tree is not None:
            message = f"Merge {known.head} into {known.base}"
            known.test_merge = repo.bare.commit(tree, [known.base, known.head], message)
            repo.bare.put(f"refs/pull/{pull.number}/merge", known.test_merge)
    return known


def settled(pull: PullRecord) -> Judgement | None:
    """Give what is known of the mergeability without asking for more."""
    known = pull.judgement
    fresh = known and (known.head, known.base) == (pull.head_sha, pull.base_seen)
    return known if known and fresh and known.done else None


def signals(repo: Repo, sha: str) -> dict[str, Signal]:
    """Give the newest state of each check and status at a commit."""
    found: dict[str, Signal] = {}
    for run in repo.checks:
        if run.sha == sha:
            done = run.status == "completed"
            color = "green" if run.conclusion in GREEN else "red"
            found[run.name] = Signal(run.name, color if done else "pending")
    colors = {"success": "green", "pending": "pending"}
    for status in repo.statuses:
        if status.sha == sha:
            found[status.context] = Signal(status.context, colors.get(status.state, "red"))
    return found


def approvals(repo: Repo, pull: PullRecord) -> tuple[int, bool]:
    """Give the number of approvals that count, and whether somebody asks for changes."""
    last: dict[str, str] = {}
    for review in pull.reviews:
        if review.state in OPINIONS and repo.role(review.login) != "read":
            last[review.login] = review.state
    said = list(last.values())
    return said.count("APPROVED"), "CHANGES_REQUESTED" in said


def missing(repo: Repo, pull: PullRecord) -> str | None:
    """Give the first rule of the base that a merge would break, in GitHub's words."""
    rules = repo.protections.get(pull.base_ref)
    if rules is None:
        return None
    count, unhappy = approvals(repo, pull)
    if rules.approvals and unhappy:
        return "Changes must be made before this pull request can be merged."
    if count < rules.approvals:
        plural = "s are" if rules.approvals > 1 else " is"
        return (
            f"At least {rules.approvals} approving review{plural} required"
            " by reviewers with write access."
        )
    return _missing_checks(repo, pull, rules)


def _missing_checks(repo: Repo, pull: PullRecord, rules: Protection) -> str | None:
    """Give what the required checks of a branch say against a merge."""
    found = signals(repo, pull.head_sha)
    lacking = [name for name in rules.checks if name not in found]
    others = {name: found[name].state for name in rules.checks if name in found}
    if len(lacking) > 1:
        return f"{len(lacking)} of {len(rules.checks)} required status checks are expected."
    if lacking:
        return f'Required status check "{lacking[0]}" is expected.'
    for name, color in others.items():
        if color != "green":
            word = "failing" if color == "red" else "in progress"
            return f'Required status check "{name}" is {word}.'
    return None


def is_behind(repo: Repo, pull: PullRecord) -> bool:
    """Say whether the base has commits that the head lacks."""
    return not repo.bare.contains(pull.head_sha, pull.base_seen)


def stands(repo: Repo, pull: PullRecord, known: Judgement | None) -> str:
    """Give mergeable_state."""
    if pull.state != "open" or known is None:
        return "unknown"
    if not known.clean:
        return "dirty"
    if pull.draft:
        return "draft"
    rules = repo.protections.get(pull.base_ref)
    if missing(repo, pull) or (rules and rules.merge_queue):
        return "blocked"
    if rules and rules.strict and is_behind(repo, pull):
        return "behind"
    states = {signal.state for signal in signals(repo, pull.head_sha).values()}
    return "unstable" if states - {"green"} else "clean"
