"""Pull requests and checks of the local forge, one statement a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from juggernaut.adapters.postgres.queries import fetch
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Comment, Review, ReviewState


@dataclass(frozen=True, slots=True)
class PullRecord:
    """One row of juggernaut.pull_requests; `intended_sha` is a merge that was begun."""

    number: int
    head_branch: str
    base_branch: str
    title: str
    state: str
    head_sha: Sha
    intended_sha: Sha | None
    merged_sha: Sha | None
    draft: bool
    ended_by: str | None


@dataclass(frozen=True, slots=True)
class RuleRecord:
    """One row of juggernaut.forge_rules; a repository without one has none."""

    checks: tuple[str, ...] = ()
    reviews: int = 0
    up_to_date: bool = False


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """One row of juggernaut.checks."""

    name: str
    passed: bool
    text: str


class PgPulls:
    """The record of the local forge in PostgreSQL; writes are database functions."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        """Use a pool that somebody else closes; its login is a worker's."""
        self._pool = pool

    async def open_pull(
        self,
        repo: str,
        head_branch: str,
        base_branch: str,
        title: str,
        body: str,
        head_sha: Sha,
        draft: bool,
    ) -> PullRecord:
        """Open, or give the one that is open, or the merged one if this head was merged."""
        rows = await fetch(
            self._pool, "open_pull", repo, head_branch, base_branch, title, body, head_sha, draft
        )
        return _record(rows[0])

    async def newest_pull(self, repo: str, head_branch: str) -> PullRecord | None:
        """Give the newest pull request of a branch."""
        return _first(await fetch(self._pool, "newest_pull", repo, head_branch))

    async def pull(self, repo: str, number: int) -> PullRecord | None:
        """Give a pull request by its number."""
        return _first(await fetch(self._pool, "show_pull", repo, number))

    async def intend_merge(self, repo: str, number: int, head_sha: Sha, merge_sha: Sha) -> bool:
        """Write down a merge before it is done; False when the pull is not open any more."""
        rows = await fetch(self._pool, "intend_pull", repo, number, head_sha, merge_sha)
        return bool(rows[0]["intended"])

    async def confirm_merge(self, repo: str, number: int, merge_sha: Sha) -> PullRecord | None:
        """Mark as merged what was intended; None when that merge was never intended."""
        return _first(await fetch(self._pool, "confirm_pull", repo, number, merge_sha))

    async def put_check(self, repo: str, sha: Sha, name: str, passed: bool, text: str) -> None:
        """Record a check; a repeat replaces it."""
        await fetch(self._pool, "post_check", repo, sha, name, passed, text)

    async def head_is(self, repo: str, number: int, head: Sha) -> None:
        """Keep where the branch of an open pull request stands now."""
        await fetch(self._pool, "keep_pull_head", repo, number, head)

    async def rules(self, repo: str) -> RuleRecord:
        """Give what a merge needs besides the verifier's check."""
        rows = await fetch(self._pool, "read_forge_rules", repo)
        if not rows:
            return RuleRecord()
        return RuleRecord(tuple(rows[0]["checks"]), rows[0]["reviews"], rows[0]["up_to_date"])

    async def checks(self, repo: str, sha: Sha) -> Sequence[CheckRecord]:
        """Give the checks at a commit."""
        rows = await fetch(self._pool, "list_checks", repo, sha)
        return tuple(CheckRecord(row["name"], row["passed"], row["details"]) for row in rows)

    async def check_text(self, repo: str, sha: str, name: str) -> str:
        """Give what a check said; empty when it is not there."""
        rows = await fetch(self._pool, "show_check", repo, sha, name)
        return str(rows[0]["details"]) if rows else ""

    async def reviews(self, number: int) -> Sequence[Review]:
        """Give the newest review of each person, without dismissed ones."""
        rows = await fetch(self._pool, "list_pull_reviews", number)
        return tuple(
            Review(
                id=str(row["id"]),
                author=row["author"],
                state=ReviewState(row["state"]),
                sha=Sha(row["sha"]),
                text=row["body"],
                at=row["at"],
            )
            for row in rows
        )

    async def comments(self, number: int) -> Sequence[Comment]:
        """Give the remarks of others, the oldest first."""
        rows = await fetch(self._pool, "list_pull_comments", number)
        return tuple(
            Comment(
                id=str(row["id"]),
                author=row["author"],
                text=row["body"],
                at=row["at"],
                path=row["path"],
                line=row["line"],
            )
            for row in rows
        )

    async def say(self, repo: str, number: int, key: str, text: str, reply_to: int | None) -> int:
        """Write a comment of ours once; gives its id, 0 when there is no such pull request."""
        rows = await fetch(self._pool, "say_on_pull", repo, number, key, text, reply_to)
        return int(rows[0]["id"] or 0)

    async def ready(self, repo: str, number: int) -> PullRecord | None:
        """Take a pull request out of draft."""
        return _first(await fetch(self._pool, "ready_pull", repo, number))

    async def close(self, repo: str, number: int, reason: str) -> PullRecord | None:
        """Close a pull request that is open."""
        return _first(await fetch(self._pool, "close_pull", repo, number, reason))


def _first(rows: Sequence[asyncpg.Record]) -> PullRecord | None:
    """Read the only row of an answer, if it has one."""
    return _record(rows[0]) if rows else None


def _record(row: asyncpg.Record) -> PullRecord:
    """Read the columns that the forge needs."""
    return PullRecord(
        number=row["number"],
        head_branch=row["head_branch"],
        base_branch=row["base_branch"],
        title=row["title"],
        state=row["state"],
        head_sha=Sha(row["head_sha"]),
        intended_sha=Sha(row["intended_sha"]) if row["intended_sha"] else None,
        merged_sha=Sha(row["merged_sha"]) if row["merged_sha"] else None,
        draft=row["draft"],
        ended_by=row["ended_by"],
    )
