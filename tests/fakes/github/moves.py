"""What happens to pull requests: they are opened, merged, updated, closed and spoken about."""

from __future__ import annotations

from tests.fakes.github.answers import Refused, custom, invalid
from tests.fakes.github.rules import follow, is_behind, judge, missing
from tests.fakes.github.state import PullRecord, Repo, ReviewRecord, State

NOT_MERGEABLE = "Pull Request is not mergeable"
HEAD_MODIFIED = "Head branch was modified. Review and try the merge again."
BASE_MODIFIED = "Base branch was modified. Review and try the merge again."
METHOD_OFF = {
    "squash": "Squash merges are not allowed on this repository.",
    "merge": "Merge commits are not allowed on this repository.",
    "rebase": "Rebase merges are not allowed on this repository.",
}
ZEROS = "0" * 40


def open_pull(
    state: State, repo: Repo, login: str, title: str, body: str | None, head: str, base: str,
    *, draft: bool = False,
) -> PullRecord:  # fmt: skip
    """Open a pull request as the rules of GitHub allow."""
    owner, _, branch = head.rpartition(":")
    refs = repo.bare.refs()
    if (owner and owner.lower() != repo.owner.lower()) or f"refs/heads/{branch}" not in refs:
        raise invalid("PullRequest", "head")
    if f"refs/heads/{base}" not in refs:
        raise invalid("PullRequest", "base")
    if draft and not repo.drafts:
        raise Refused(422, "Draft pull requests are not supported in this repository.")
    head_sha, base_sha = refs[f"refs/heads/{branch}"], refs[f"refs/heads/{base}"]
    follow(state, repo)
    for other in repo.pulls.values():
        if (other.state, other.head_ref, other.base_ref) == ("open", branch, base):
            raise custom("PullRequest", f"A pull request already exists for {repo.owner}:{branch}.")
    if repo.bare.contains(base_sha, head_sha):
        raise custom("PullRequest", f"No commits between {base} and {branch}")
    number, now = repo.next_number, state.now()
    repo.next_number += 1
    pull = PullRecord(
        state.next_id(), number, title, body, branch, base, head_sha, base_sha, login, now, now,
        draft=draft, base_seen=base_sha,
    )  # fmt: skip
    repo.pulls[number] = pull
    repo.bare.put(f"refs/pull/{number}/head", head_sha)
    return pull


def merge_pull(
    state: State,
    repo: Repo,
    pull: PullRecord,
    login: str,
    *,
    method: str = "merge",
    sha: str | None = None,
    title: str | None = None,
    message: str | None = None,
    from_queue: bool = False,
) -> str:
    """Merge a pull request and give the new tip of its base."""
    follow(state, repo)
    if pull.state != "open":
        raise Refused(405, NOT_MERGEABLE)
    if pull.draft:
        raise Refused(405, "Pull Request is still a draft")
    if sha is not None and sha != pull.head_sha:
        raise Refused(409, HEAD_MODIFIED)
    _check_rules(repo, pull, method, from_queue=from_queue)
    tip = _merged(repo, pull, method, title, message)
    if not repo.bare.move(f"refs/heads/{pull.base_ref}", tip, pull.base_seen):
        raise Refused(405, BASE_MODIFIED)
    _finish(state, repo, pull, tip, login)
    return tip


def _check_rules(repo: Repo, pull: PullRecord, method: str, *, from_queue: bool) -> None:
    """Refuse what the repository or the branch does not allow."""
    allowed = {
        "squash": repo.allow_squash_merge,
        "merge": repo.allow_merge_commit,
        "rebase": repo.allow_rebase_merge,
    }
    if not allowed[method]:
        raise Refused(405, METHOD_OFF[method])
    rules = repo.protections.get(pull.base_ref)
    if rules and rules.merge_queue and not from_queue:
        raise Refused(405, "Changes must be made through the merge queue")
    why = missing(repo, pull)
    if why:
        raise Refused(405, why)
    if rules and rules.strict and is_behind(repo, pull):
        raise Refused(405, "Head branch is out of date with the base branch.")


def _merged(
    repo: Repo, pull: PullRecord, method: str, title: str | None, message: str | None
) -> str:
    """Write the commits of a merge; the base is not moved yet."""
    known = judge(repo, pull, at_once=True)
    if known is None or not known.clean or known.test_merge is None:
        raise Refused(405, NOT_MERGEABLE)
    base, head = known.base, known.head
    if method == "rebase":
        tip = repo.bare.replayed(base, repo.bare.between(base, head))
        if tip is None:
            raise Refused(405, "This branch can't be rebased")
        return tip
    plain = f"{pull.title} (#{pull.number})"
    joined = f"Merge pull request #{pull.number} from {repo.owner}/{pull.head_ref}"
    subject = title or (plain if method == "squash" else joined)
    text = subject if not message else f"{subject}\n\n{message}"
    parents = [base] if method == "squash" else [base, head]
    return repo.bare.commit(f"{known.test_merge}^{{tree}}", parents, text, pull.login)


def _finish(state: State, repo: Repo, pull: PullRecord, tip: str, login: str) -> None:
    """Write the merge down; the branch goes where the repository says so."""
    now = state.now()
    pull.state, pull.closed_at, pull.closed_by, pull.updated_at = "closed", now, login, now
    pull.merged_at, pull.merged_by, pull.merged_sha = now, login, tip
    pull.auto_merge, pull.queued = None, False
    if repo.delete_branch_on_merge:
        repo.bare.delete(f"refs/heads/{pull.head_ref}")
    follow(state, repo)


def try_auto_merge(state: State, repo: Repo) -> None:
    """Merge what waits for its rules (auto-merge, or the queue) as soon as they hold."""
    for pull in list(repo.pulls.values()):
        if pull.state == "open" and pull.auto_merge and not missing(repo, pull):
            try:
                merge_pull(state, repo, pull, pull.auto_merge_by, method=pull.auto_merge)
            except Refused:
                continue


def update_branch(state: State, repo: Repo, pull: PullRecord, expected: str | None) -> str:
    """Merge the base into the head branch and give the new head."""
    follow(state, repo)
    if expected is not None and expected != pull.head_sha:
        raise Refused(422, "expected head sha didn’t match current head ref.")
    if pull.state != "open" or not is_behind(repo, pull):
        raise Refused(422, "There are no new commits on the base branch.")
    tree = repo.bare.merged_tree(pull.head_sha, pull.base_seen)
    if tree is None:
        raise Refused(422, "merge conflict between base and head")
    text = f"Merge branch '{pull.base_ref}' into {pull.head_ref}"
    tip = repo.bare.commit(tree, [pull.head_sha, pull.base_seen], text)
    if not repo.bare.move(f"refs/heads/{pull.head_ref}", tip, pull.head_sha):
        raise Refused(422, "expected head sha didn’t match current head ref.")
    follow(state, repo)
    return tip


def close_pull(state: State, repo: Repo, pull: PullRecord, login: str) -> None:
    """Close without a merge; a closed one stays as it is."""
    follow(state, repo)
    if pull.state == "open":
        now = state.now()
        pull.state, pull.closed_at, pull.closed_by, pull.updated_at = "closed", now, login, now


def reopen_pull(state: State, repo: Repo, pull: PullRecord) -> None:
    """Open a closed pull request again, if its branch still has something to give."""
    refs = repo.bare.refs()
    head = refs.get(f"refs/heads/{pull.head_ref}")
    if pull.merged_at or head is None:
        raise custom("PullRequest", "state cannot be changed. The pull request cannot be reopened.")
    for other in repo.pulls.values():
        same = (other.head_ref, other.base_ref) == (pull.head_ref, pull.base_ref)
        if same and other.state == "open":
            raise custom(
                "PullRequest",
                "state cannot be changed. There is already an open pull request from"
                f" {repo.owner}:{pull.head_ref} to {repo.owner}:{pull.base_ref}.",
            )
    pull.state, pull.closed_at, pull.closed_by = "open", None, None
    pull.updated_at = state.now()
    follow(state, repo)


def review_pull(
    state: State, repo: Repo, pull: PullRecord, login: str, event: str, body: str, sha: str | None
) -> ReviewRecord:
    """Write a review; nobody approves what they opened themselves."""
    follow(state, repo)
    words = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}
    if login == pull.login and event != "COMMENT":
        verb = "approve" if event == "APPROVE" else "request changes on"
        raise Refused(422, "Unprocessable Entity", [f"Can not {verb} your own pull request"])
    review = ReviewRecord(
        state.next_id(), login, words[event], body, sha or pull.head_sha, state.now()
    )
    pull.reviews.append(review)
    pull.updated_at = state.now()
    try_auto_merge(state, repo)
    return review
