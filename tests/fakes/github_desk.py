"""A client of the GitHub double with a repository to work on, on real PyGithub."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from github import Auth, Github
from github.PullRequest import PullRequest
from github.Repository import Repository

from tests.fakes.github.double import GitHubDouble

REPO = "octo/app"
PATH = f"/repos/{REPO}"
BRANCH = "feature/one"


@dataclass(frozen=True, slots=True)
class Desk:
    """A client of the double, and its repository."""

    double: GitHubDouble
    client: Github
    repo: Repository

    def ask(self, verb: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Send one request and give status, headers and body, whatever they are."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        status, got, text = self.client.requester.requestJson(verb, path, None, sent, body)
        return status, got, json.loads(text) if text else None

    def refused(self, verb: str, path: str, body: Any = None) -> tuple[int, str]:
        """Send a request that is refused and give status and reason."""
        status, _, answer = self.ask(verb, path, body)
        reasons = [one.get("message", "") for one in answer.get("errors", []) if one != str(one)]
        return status, " ".join([answer["message"], *reasons]).strip()

    def change(self, branch: str = BRANCH, text: str = "ONE\ntwo\nthree\n") -> str:
        """Push a branch by hand."""
        return self.double.human.push(REPO, branch, {"app.py": text}, start="main")

    def opened(self, branch: str = BRANCH, *, draft: bool = False) -> PullRequest:
        """Push a branch and open a pull request."""
        self.change(branch)
        return self.repo.create_pull(base="main", head=branch, title="T", body="B", draft=draft)

    def state(self, number: int) -> tuple[bool | None, str]:
        """Read mergeable and mergeable_state once."""
        _, _, answer = self.ask("GET", f"{PATH}/pulls/{number}")
        return answer["mergeable"], answer["mergeable_state"]

    def settled(self, number: int) -> tuple[bool | None, str]:
        """Read the second time, when the answer is there."""
        self.state(number)
        return self.state(number)


def connect(double: GitHubDouble, token: str, url: str = "") -> Github:
    """Give a client that repeats nothing and waits for nothing."""
    return Github(
        auth=Auth.Token(token),
        base_url=url or double.url,
        timeout=10,
        retry=None,
        seconds_between_requests=0,
        seconds_between_writes=0,
    )
