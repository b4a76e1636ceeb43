"""What people and their CI do at GitHub while Juggernaut works there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.fakes.github import moves
from tests.fakes.github.git_http import guard
from tests.fakes.github.render_pulls import ACTIONS
from tests.fakes.github.rules import follow
from tests.fakes.github.state import (
    CheckRun,
    CommitStatus,
    Protection,
    PullRecord,
    Remark,
    Repo,
    State,
)

EVENTS = {
    "APPROVED": "APPROVE",
    "CHANGES_REQUESTED": "REQUEST_CHANGES",
    "COMMENTED": "COMMENT",
}
PERSON = "a-person"


@dataclass(frozen=True, slots=True)
class Human:
    """A person with a browser and a clone; every method takes effect at once."""

    state: State

    def _repo(self, name: str) -> Repo:
        """Find a repository."""
        found = self.state.repo(name)
        if found is None:
            raise KeyError(name)
        return found

    def _pull(self, name: str, number: int) -> tuple[Repo, PullRecord]:
        """Find a pull request as its branches are now."""
        repo = self._repo(name)
        follow(self.state, repo)
        return repo, repo.pulls[number]

    def push(
        self,
        repo: str,
        branch: str,
        files: Mapping[str, str | None],
        *,
        start: str | None = None,
        message: str = "Work by hand",
    ) -> str:
        """Commit on a branch; `start` begins it anew from there, by force if it exists."""
        with self.state.lock:
            known = self._repo(repo)
            refs = known.bare.refs()
            default = refs.get(f"refs/heads/{known.default_branch}")
            onto = known.bare.resolve(start) if start else refs.get(f"refs/heads/{branch}", default)
            sha = known.bare.write(branch, files, onto, message)
            follow(self.state, known)
            return sha

    def delete_branch(self, repo: str, branch: str) -> None:
        """Delete a branch."""
        with self.state.lock:
            known = self._repo(repo)
            known.bare.delete(f"refs/heads/{branch}")
            follow(self.state, known)

    def comment(self, repo: str, number: int, text: str, login: str = PERSON) -> int:
        """Say something in the conversation and give the comment's id."""
        with self.state.lock:
            _, pull = self._pull(repo, number)
            said = Remark(self.state.next_id(), login, text, self.state.now())
            pull.comments.append(said)
            pull.updated_at = said.at
            return said.id

    def remark(
        self, repo: str, number: int, path: str, line: int, text: str, login: str = PERSON
    ) -> int:
        """Say something about a line and give the comment's id."""
        with self.state.lock:
            _, pull = self._pull(repo, number)
            number_of = self.state.next_id()
            said = Remark(number_of, login, text, self.state.now(), path, line, sha=pull.head_sha)
            pull.remarks.append(said)
            pull.updated_at = said.at
            return said.id

    def review(
        self,
        repo: str,
        number: int,
        verdict: str,
        login: str = PERSON,
        text: str = "",
        sha: str | None = None,
    ) -> int:
        """Review with APPROVED, CHANGES_REQUESTED or COMMENTED and give the review's id."""
        with self.state.lock:
            known, pull = self._pull(repo, number)
            body = text or ("" if verdict == "APPROVED" else "Please look again.")
            return moves.review_pull(self.state, known, pull, login, EVENTS[verdict], body, sha).id

    def dismiss(self, repo: str, number: int, review: int) -> None:
        """Take a review back."""
        with self.state.lock:
            _, pull = self._pull(repo, number)
            next(one for one in pull.reviews if one.id == review).state = "DISMISSED"

    def merge(self, repo: str, number: int, method: str = "merge", login: str = PERSON) -> str:
        """Press the green button and give the new tip of the base."""
        with self.state.lock:
            known, pull = self._pull(repo, number)
            return moves.merge_pull(self.state, known, pull, login, method=method)

    def finish_queue(self, repo: str) -> list[int]:
        """Let the merge queue merge what waits in it and give the numbers."""
        with self.state.lock:
            known = self._repo(repo)
            waiting = [pull for pull in known.pulls.values() if pull.queued]
            for pull in waiting:
                moves.merge_pull(
                    self.state, known, pull, "github-merge-queue[bot]", method="squash",
                    from_queue=True,
                )  # fmt: skip
            return [pull.number for pull in waiting]

    def eject(self, repo: str, number: int) -> None:
        """Let the merge queue take a pull request out again, without a merge."""
        with self.state.lock:
            self._pull(repo, number)[1].queued = False

    def close(self, repo: str, number: int, login: str = PERSON) -> None:
        """Close without a merge."""
        with self.state.lock:
            known, pull = self._pull(repo, number)
            moves.close_pull(self.state, known, pull, login)

    def reopen(self, repo: str, number: int) -> None:
        """Open again what was closed."""
        with self.state.lock:
            known, pull = self._pull(repo, number)
            moves.reopen_pull(self.state, known, pull)

    def set_draft(self, repo: str, number: int, *, draft: bool) -> None:
        """Make a draft of a pull request, or take it out of that state."""
        with self.state.lock:
            self._pull(repo, number)[1].draft = draft

    def set_check(
        self, repo: str, sha: str, name: str, conclusion: str | None, log: str | None = None
    ) -> int:
        """Let a job of Actions end (None: let it run) and give the id of its check run."""
        with self.state.lock:
            known, now = self._repo(repo), self.state.now()
            run = CheckRun(
                self.state.next_id(), sha, name, "completed" if conclusion else "in_progress",
                conclusion, ACTIONS, self.state.next_id(), now, now if conclusion else None,
                log=log,
            )  # fmt: skip
            known.checks.append(run)
            moves.try_auto_merge(self.state, known)
            return run.id

    def set_status(
        self, repo: str, sha: str, context: str, said: str, description: str = ""
    ) -> None:
        """Let an old-fashioned CI say success, failure, error or pending."""
        with self.state.lock:
            known = self._repo(repo)
            known.statuses.append(
                CommitStatus(
                    self.state.next_id(),
                    sha,
                    context,
                    said,
                    description or None,
                    None,
                    "ci-service",
                    self.state.now(),
                )  # fmt: skip
            )
            moves.try_auto_merge(self.state, known)

    def protect(
        self,
        repo: str,
        branch: str = "main",
        *,
        checks: tuple[str, ...] = (),
        approvals: int = 0,
        strict: bool = False,
        dismiss_stale: bool = False,
        merge_queue: bool = False,
        ruleset: bool = False,
    ) -> None:
        """Set the rules of a branch, as classic protection or as a ruleset."""
        with self.state.lock:
            known = self._repo(repo)
            known.protections[branch] = Protection(
                checks, strict, approvals, dismiss_stale, merge_queue, ruleset or merge_queue
            )
            guard(known.bare.path, list(known.protections))
