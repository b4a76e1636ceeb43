"""REST: reviews, comments and labels."""

from __future__ import annotations

from tests.fakes.github import moves
from tests.fakes.github.answers import Answer, Refused, invalid, not_found
from tests.fakes.github.routes import Call, on
from tests.fakes.github.state import PullRecord, Remark, Repo

PULL = "/repos/{owner}/{repo}/pulls/{pull_number}"
ISSUE = "/repos/{owner}/{repo}/issues/{issue_number}"
EVENTS = frozenset({"APPROVE", "REQUEST_CHANGES", "COMMENT"})


@on("GET", f"{PULL}/reviews", "pull_requests:read")
def list_reviews(call: Call) -> Answer:
    """List reviews, the oldest first."""
    repo = call.repo()
    pull = call.pull(repo)
    return call.page([call.render.review(repo, pull, one) for one in pull.reviews])


@on("POST", f"{PULL}/reviews", "pull_requests:write")
def create_review(call: Call) -> Answer:
    """Write a review."""
    repo = call.repo()
    pull, event = call.pull(repo), str(call.require("event"))
    body = str(call.body.get("body") or "")
    if event not in EVENTS or (event != "APPROVE" and not body):
        raise Refused(422, "Unprocessable Entity", ["Review body can't be blank"])
    sha = call.body.get("commit_id")
    review = moves.review_pull(call.state, repo, pull, call.caller.login, event, body, sha)
    return Answer(200, call.render.review(repo, pull, review))


@on("PUT", f"{PULL}/reviews/{{review_id}}/dismissals", "pull_requests:write")
def dismiss_review(call: Call) -> Answer:
    """Take a review back."""
    repo = call.repo()
    pull = call.pull(repo)
    call.require("message")
    for review in pull.reviews:
        if str(review.id) == call.params["review_id"]:
            review.state = "DISMISSED"
            return Answer(200, call.render.review(repo, pull, review))
    raise not_found()


@on("GET", f"{PULL}/comments", "pull_requests:read")
def list_remarks(call: Call) -> Answer:
    """List the comments on lines, the oldest first."""
    repo = call.repo()
    pull = call.pull(repo)
    found = pull.remarks[::-1] if call.query.get("direction") == "desc" else pull.remarks
    return call.page([call.render.remark(repo, pull, one) for one in found])


@on("POST", f"{PULL}/comments", "pull_requests:write")
def create_remark(call: Call) -> Answer:
    """Comment on a line, or answer a comment that was made on one."""
    repo = call.repo()
    pull, body = call.pull(repo), str(call.require("body"))
    if call.body.get("in_reply_to"):
        return _reply(call, repo, pull, str(call.body["in_reply_to"]), body)
    sha, path = str(call.require("commit_id")), str(call.require("path"))
    if not repo.bare.has(sha):
        raise invalid("PullRequestReviewComment", "commit_id")
    remark = Remark(
        call.state.next_id(), call.caller.login, body, call.state.now(), path,
        call.body.get("line"), sha,
    )  # fmt: skip
    return _kept(call, repo, pull, remark)


@on("POST", f"{PULL}/comments/{{comment_id}}/replies", "pull_requests:write")
def create_reply(call: Call) -> Answer:
    """Answer a comment on a line."""
    repo = call.repo()
    body = str(call.require("body"))
    return _reply(call, repo, call.pull(repo), call.params["comment_id"], body)


@on("GET", "/repos/{owner}/{repo}/pulls/comments/{comment_id}", "pull_requests:read")
def get_remark(call: Call) -> Answer:
    """Read one comment on a line."""
    repo = call.repo()
    for pull in repo.pulls.values():
        for one in pull.remarks:
            if str(one.id) == call.params["comment_id"]:
                return Answer(200, call.render.remark(repo, pull, one))
    raise not_found()


@on("GET", "/repos/{owner}/{repo}/issues/comments/{comment_id}", "pull_requests:read")
def get_comment(call: Call) -> Answer:
    """Read one comment of a conversation."""
    repo = call.repo()
    for pull in repo.pulls.values():
        for one in pull.comments:
            if str(one.id) == call.params["comment_id"]:
                return Answer(200, call.render.comment(repo, pull, one))
    raise not_found()


def _reply(call: Call, repo: Repo, pull: PullRecord, number: str, body: str) -> Answer:
    """Answer in a thread; an answer to an answer goes to the thread's first comment."""
    known = {str(one.id): one for one in pull.remarks}
    parent = known.get(number)
    if parent is None:
        raise not_found()
    remark = Remark(
        call.state.next_id(), call.caller.login, body, call.state.now(), parent.path, parent.line,
        parent.sha, parent.reply_to or parent.id,
    )  # fmt: skip
    return _kept(call, repo, pull, remark)


def _kept(call: Call, repo: Repo, pull: PullRecord, remark: Remark) -> Answer:
    """Keep a comment on a line and answer with it."""
    pull.remarks.append(remark)
    pull.updated_at = remark.at
    return Answer(201, call.render.remark(repo, pull, remark))


@on("GET", ISSUE, "issues:read")
def get_issue(call: Call) -> Answer:
    """Read a pull request as an issue: who closed it stands only here."""
    repo = call.repo()
    return Answer(200, call.render.issue(repo, call.pull(repo)))


@on("GET", f"{ISSUE}/comments", "pull_requests:read")
def list_comments(call: Call) -> Answer:
    """List the comments of the conversation, the oldest first."""
    repo = call.repo()
    pull = call.pull(repo)
    return call.page([call.render.comment(repo, pull, one) for one in pull.comments])


@on("POST", f"{ISSUE}/comments", "pull_requests:write")
def create_comment(call: Call) -> Answer:
    """Say something in the conversation; saying it again makes a second comment."""
    repo = call.repo()
    pull = call.pull(repo)
    body = str(call.require("body"))
    comment = Remark(call.state.next_id(), call.caller.login, body, call.state.now())
    pull.comments.append(comment)
    pull.updated_at = comment.at
    return Answer(201, call.render.comment(repo, pull, comment))


@on("GET", f"{ISSUE}/labels", "pull_requests:read")
def list_labels(call: Call) -> Answer:
    """List labels."""
    repo = call.repo()
    return call.page([call.render.label(repo, name) for name in call.pull(repo).labels])


@on("POST", f"{ISSUE}/labels", "pull_requests:write")
def add_labels(call: Call) -> Answer:
    """Add labels; one that is there stays once."""
    repo = call.repo()
    pull = call.pull(repo)
    pull.labels += [name for name in call.body.get("labels", []) if name not in pull.labels]
    return Answer(200, [call.render.label(repo, name) for name in pull.labels])
