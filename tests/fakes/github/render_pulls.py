"""Pull requests, reviews, remarks and checks in GitHub's form."""

from __future__ import annotations

from dataclasses import dataclass

from tests.fakes.github.answers import Json
from tests.fakes.github.render import Render, stamp
from tests.fakes.github.rules import stands
from tests.fakes.github.state import (
    App,
    CheckRun,
    CommitStatus,
    Judgement,
    PullRecord,
    Remark,
    Repo,
    ReviewRecord,
)

ACTIONS = "github-actions"
ACTIONS_ID = 15368


@dataclass(frozen=True, slots=True)
class PullRender(Render):
    """The hand that writes everything of a pull request."""

    def pull_url(self, repo: Repo, pull: PullRecord) -> str:
        """Give the address of a pull request in the API."""
        return f"{self.repo_url(repo)}/pulls/{pull.number}"

    def pull_html(self, repo: Repo, pull: PullRecord) -> str:
        """Give the address of a pull request for people."""
        return f"{self.web}/{repo.full_name}/pull/{pull.number}"

    def pull(self, repo: Repo, pull: PullRecord, known: Judgement | None) -> Json:
        """Write the whole of a pull request."""
        changes = repo.bare.changes(f"{pull.base_sha}...{pull.head_sha}")
        merged = pull.merged_at is not None
        return {
            **self.simple(repo, pull),
            "merged": merged,
            "mergeable": known.clean if known and pull.state == "open" else None,
            "rebaseable": known.clean if known and pull.state == "open" else None,
            "mergeable_state": stands(repo, pull, known),
            "merged_by": self.maybe_user(pull.merged_by),
            "comments": len(pull.comments),
            "review_comments": len(pull.remarks),
            "maintainer_can_modify": False,
            "commits": len(repo.bare.between(pull.base_sha, pull.head_sha)),
            "additions": sum(change[1] for change in changes),
            "deletions": sum(change[2] for change in changes),
            "changed_files": len(changes),
        }

    def simple(self, repo: Repo, pull: PullRecord) -> Json:
        """Write a pull request as it stands in a list."""
        url, html = self.pull_url(repo, pull), self.pull_html(repo, pull)
        issue = f"{self.repo_url(repo)}/issues/{pull.number}"
        known = pull.judgement
        links = {
            "self": url, "html": html, "issue": issue, "comments": f"{issue}/comments",
            "review_comments": f"{url}/comments",
            "review_comment": f"{self.repo_url(repo)}/pulls/comments{{/number}}",
            "commits": f"{url}/commits",
            "statuses": f"{self.repo_url(repo)}/statuses/{pull.head_sha}",
        }  # fmt: skip
        addresses = {f"{k}_url": v for k, v in links.items() if k not in {"self", "html", "issue"}}
        return {
            "url": url,
            "id": pull.id,
            "node_id": pull.node_id,
            "html_url": html,
            "diff_url": f"{html}.diff",
            "patch_url": f"{html}.patch",
            "issue_url": issue,
            **addresses,
            "_links": {name: {"href": link} for name, link in links.items()},
            "number": pull.number,
            "state": pull.state,
            "locked": False,
            "title": pull.title,
            "user": self.user(pull.login),
            "body": pull.body,
            "labels": [self.label(repo, name) for name in pull.labels],
            "milestone": None,
            "created_at": stamp(pull.created_at),
            "updated_at": stamp(pull.updated_at),
            "closed_at": stamp(pull.closed_at),
            "merged_at": stamp(pull.merged_at),
            "merge_commit_sha": pull.merged_sha or (known.test_merge if known else None),
            "assignee": None,
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "head": self._end(repo, pull.head_ref, pull.head_sha),
            "base": self._end(repo, pull.base_ref, pull.base_sha),
            "author_association": "CONTRIBUTOR",
            "auto_merge": self._auto_merge(pull),
            "draft": pull.draft,
        }

    def _end(self, repo: Repo, ref: str, sha: str) -> Json:
        """Write the head or the base."""
        return {
            "label": f"{repo.owner}:{ref}",
            "ref": ref,
            "sha": sha,
            "user": self.user(repo.owner),
            "repo": self.repo(repo),
        }

    def _auto_merge(self, pull: PullRecord) -> Json | None:
        """Write who asked for a merge as soon as the rules hold."""
        if pull.auto_merge is None:
            return None
        return {
            "enabled_by": self.user(pull.auto_merge_by),
            "merge_method": pull.auto_merge,
            "commit_title": pull.title,
            "commit_message": "",
        }

    def issue(self, repo: Repo, pull: PullRecord) -> Json:
        """Write a pull request as the issue that it also is."""
        url, html = f"{self.repo_url(repo)}/issues/{pull.number}", self.pull_html(repo, pull)
        return {
            "id": pull.id + 1_000_000,
            "node_id": f"I_{pull.id}",
            "url": url,
            "repository_url": self.repo_url(repo),
            "labels_url": f"{url}/labels{{/name}}",
            "comments_url": f"{url}/comments",
            "events_url": f"{url}/events",
            "html_url": html,
            "number": pull.number,
            "state": pull.state,
            "state_reason": None,
            "title": pull.title,
            "body": pull.body,
            "user": self.user(pull.login),
            "labels": [self.label(repo, name) for name in pull.labels],
            "assignee": None,
            "assignees": [],
            "milestone": None,
            "locked": False,
            "comments": len(pull.comments),
            "closed_at": stamp(pull.closed_at),
            "closed_by": self.maybe_user(pull.closed_by),
            "created_at": stamp(pull.created_at),
            "updated_at": stamp(pull.updated_at),
            "author_association": "CONTRIBUTOR",
            "pull_request": {
                "url": self.pull_url(repo, pull), "html_url": html, "diff_url": f"{html}.diff",
                "patch_url": f"{html}.patch", "merged_at": stamp(pull.merged_at),
            },
        }  # fmt: skip

    def label(self, repo: Repo, name: str) -> Json:
        """Write a label."""
        return {
            "id": sum(name.encode()),
            "node_id": f"LA_{name}",
            "url": f"{self.repo_url(repo)}/labels/{name.replace(' ', '%20')}",
            "name": name,
            "description": "",
            "color": "ededed",
            "default": False,
        }

    def review(self, repo: Repo, pull: PullRecord, review: ReviewRecord) -> Json:
        """Write a review."""
        html = f"{self.pull_html(repo, pull)}#pullrequestreview-{review.id}"
        url = self.pull_url(repo, pull)
        return {
            "id": review.id,
            "node_id": f"PRR_{review.id}",
            "user": self.user(review.login),
            "body": review.body,
            "state": review.state,
            "html_url": html,
            "pull_request_url": url,
            "_links": {"html": {"href": html}, "pull_request": {"href": url}},
            "submitted_at": stamp(review.at),
            "commit_id": review.sha,
            "author_association": "COLLABORATOR",
        }

    def remark(self, repo: Repo, pull: PullRecord, remark: Remark) -> Json:
        """Write a comment on a line."""
        html = f"{self.pull_html(repo, pull)}#discussion_r{remark.id}"
        url, mine = self.pull_url(repo, pull), f"{self.repo_url(repo)}/pulls/comments/{remark.id}"
        links = {"self": mine, "html": html, "pull_request": url}
        answer = {
            "id": remark.id,
            "node_id": f"PRRC_{remark.id}",
            "url": mine,
            "html_url": html,
            "pull_request_url": url,
            "pull_request_review_id": remark.review,
            "diff_hunk": "@@ -1 +1 @@",
            "path": remark.path,
            "line": remark.line,
            "original_line": remark.line,
            "side": "RIGHT",
            "commit_id": pull.head_sha,
            "original_commit_id": remark.sha,
            "user": self.user(remark.login),
            "body": remark.body,
            "created_at": stamp(remark.at),
            "updated_at": stamp(remark.at),
            "author_association": "COLLABORATOR",
            "_links": {name: {"href": link} for name, link in links.items()},
        }
        return answer if remark.reply_to is None else {**answer, "in_reply_to_id": remark.reply_to}

    def comment(self, repo: Repo, pull: PullRecord, comment: Remark) -> Json:
        """Write a comment of the conversation."""
        issues = f"{self.repo_url(repo)}/issues"
        return {
            "id": comment.id,
            "node_id": f"IC_{comment.id}",
            "url": f"{issues}/comments/{comment.id}",
            "issue_url": f"{issues}/{pull.number}",
            "html_url": f"{self.pull_html(repo, pull)}#issuecomment-{comment.id}",
            "user": self.user(comment.login),
            "body": comment.body,
            "created_at": stamp(comment.at),
            "updated_at": stamp(comment.at),
            "author_association": "COLLABORATOR",
        }

    def check_run(self, repo: Repo, run: CheckRun) -> Json:
        """Write a check run."""
        url = f"{self.repo_url(repo)}/check-runs/{run.id}"
        output = {key: run.output.get(key) for key in ("title", "summary", "text")}
        html = f"{self.web}/{repo.full_name}/runs/{run.id}"
        if run.app == ACTIONS:
            html = f"{self.web}/{repo.full_name}/actions/runs/{run.run_id}/job/{run.id}"
        return {
            "id": run.id,
            "node_id": f"CR_{run.id}",
            "name": run.name,
            "head_sha": run.sha,
            "external_id": run.external_id,
            "url": url,
            "html_url": html,
            "details_url": run.details_url or html,
            "status": run.status,
            "conclusion": run.conclusion,
            "started_at": stamp(run.started_at),
            "completed_at": stamp(run.completed_at),
            "output": {**output, "annotations_count": 0, "annotations_url": f"{url}/annotations"},
            "check_suite": {"id": run.run_id},
            "app": self.app(self._app(run.app)),
            "pull_requests": [],
        }

    def _app(self, slug: str) -> App:
        """Give the App that a check run belongs to."""
        known = self.state.app
        return known if known and known.slug == slug else App(ACTIONS_ID, slug, 0, "", {})

    def status(self, repo: Repo, status: CommitStatus, *, simple: bool = False) -> Json:
        """Write a commit status."""
        answer: Json = {
            "id": status.id,
            "node_id": f"SC_{status.id}",
            "url": f"{self.repo_url(repo)}/statuses/{status.sha}",
            "avatar_url": f"{self.web}/avatars/{self.state.person(status.creator).id}",
            "state": status.state,
            "description": status.description,
            "target_url": status.target_url,
            "context": status.context,
            "created_at": stamp(status.at),
            "updated_at": stamp(status.at),
        }
        return answer if simple else {**answer, "creator": self.user(status.creator)}

    def job(self, repo: Repo, run: CheckRun) -> Json:
        """Write the job of Actions behind a check run."""
        url = f"{self.repo_url(repo)}/actions"
        return {
            "id": run.id,
            "node_id": f"CR_{run.id}",
            "run_id": run.run_id,
            "run_url": f"{url}/runs/{run.run_id}",
            "run_attempt": 1,
            "url": f"{url}/jobs/{run.id}",
            "html_url": f"{self.web}/{repo.full_name}/actions/runs/{run.run_id}/job/{run.id}",
            "check_run_url": f"{self.repo_url(repo)}/check-runs/{run.id}",
            "head_sha": run.sha,
            "head_branch": None,
            "name": run.name,
            "status": run.status,
            "conclusion": run.conclusion,
            "created_at": stamp(run.started_at),
            "started_at": stamp(run.started_at),
            "completed_at": stamp(run.completed_at),
            "steps": [],
            "labels": ["ubuntu-latest"],
            "runner_id": None,
            "runner_name": None,
            "runner_group_id": None,
            "runner_group_name": None,
            "workflow_name": "CI",
        }
