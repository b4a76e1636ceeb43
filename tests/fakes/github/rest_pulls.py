"""REST: pull requests from opening to merge."""

from __future__ import annotations

from tests.fakes.github import moves
from tests.fakes.github.answers import Answer, invalid
from tests.fakes.github.routes import Call, on
from tests.fakes.github.rules import follow, judge, settled

PULLS = "/repos/{owner}/{repo}/pulls"
PULL = "/repos/{owner}/{repo}/pulls/{pull_number}"
METHODS = frozenset({"merge", "squash", "rebase"})


@on("GET", PULLS, "pull_requests:read")
def list_pulls(call: Call) -> Answer:
    """List pull requests; a `head` without an owner filters nothing."""
    repo = call.repo()
    follow(call.state, repo)
    state, head, base = (call.query.get(name, "") for name in ("state", "head", "base"))
    owner, colon, branch = head.partition(":")
    found = [pull for pull in repo.pulls.values() if state in ("all", pull.state)
             or (not state and pull.state == "open")]  # fmt: skip
    if colon:
        mine = owner.lower() == repo.owner.lower()
        found = [pull for pull in found if mine and pull.head_ref == branch]
    found = [pull for pull in found if not base or pull.base_ref == base]
    key = "updated_at" if call.query.get("sort") == "updated" else "created_at"
    default = "desc" if call.query.get("sort", "created") == "created" else "asc"
    down = call.query.get("direction", default) == "desc"
    found.sort(key=lambda pull: (getattr(pull, key), pull.number), reverse=down)
    return call.page([call.render.simple(repo, pull) for pull in found])


@on("POST", PULLS, "pull_requests:write")
def create_pull(call: Call) -> Answer:
    """Open a pull request."""
    repo = call.repo()
    pull = moves.open_pull(
        call.state,
        repo,
        call.caller.login,
        str(call.require("title")),
        call.body.get("body"),
        str(call.require("head")),
        str(call.require("base")),
        draft=bool(call.body.get("draft")),
    )
    whole = call.render.pull(repo, pull, None)
    return Answer(201, whole, {"Location": whole["url"]})


@on("GET", PULL, "pull_requests:read")
def get_pull(call: Call) -> Answer:
    """Read one; this is what sets the background job on its mergeability."""
    repo = call.repo()
    follow(call.state, repo)
    pull = call.pull(repo)
    if pull.state == "open":
        judge(repo, pull)
    return Answer(200, call.render.pull(repo, pull, settled(pull)))


@on("PATCH", PULL, "pull_requests:write")
def update_pull(call: Call) -> Answer:
    """Change title, body or state."""
    repo = call.repo()
    follow(call.state, repo)
    pull = call.pull(repo)
    wanted = call.body.get("state")
    if wanted not in (None, "open", "closed"):
        raise invalid("PullRequest", "state")
    pull.title = str(call.body.get("title", pull.title))
    pull.body = call.body.get("body", pull.body)
    pull.updated_at = call.state.now()
    if wanted == "closed":
        moves.close_pull(call.state, repo, pull, call.caller.login)
    elif wanted == "open" and pull.state == "closed":
        moves.reopen_pull(call.state, repo, pull)
    return Answer(200, call.render.pull(repo, pull, settled(pull)))


@on("GET", f"{PULL}/merge", "pull_requests:read")
def is_merged(call: Call) -> Answer:
    """Say by the status alone whether it was merged."""
    repo = call.repo()
    follow(call.state, repo)
    return Answer(204 if call.pull(repo).merged_at else 404)


@on("PUT", f"{PULL}/merge", "contents:write")
def merge_pull(call: Call) -> Answer:
    """Merge, if the head is where the caller believes it."""
    repo = call.repo()
    method = str(call.body.get("merge_method", "merge"))
    if method not in METHODS:
        raise invalid("PullRequest", "merge_method")
    sha = moves.merge_pull(
        call.state,
        repo,
        call.pull(repo),
        call.caller.login,
        method=method,
        sha=call.body.get("sha"),
        title=call.body.get("commit_title"),
        message=call.body.get("commit_message"),
    )
    body = {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}
    return Answer(200, body)


@on("PUT", f"{PULL}/update-branch", "pull_requests:write")
def update_branch(call: Call) -> Answer:
    """Take the base into the head; accepted at once, done a moment later."""
    repo = call.repo()
    pull = call.pull(repo)
    moves.update_branch(call.state, repo, pull, call.body.get("expected_head_sha"))
    where = call.render.pull_url(repo, pull)
    return Answer(202, {"message": "Updating pull request branch.", "url": where})
