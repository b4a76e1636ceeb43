"""Pull requests and checks of the local forge, one statement a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from juggernaut.adapters.postgres.queries import fetch
from juggernaut.domain.model import Sha


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


class PgPulls:
    """The record of the local forge in PostgreSQL; writes are database functions."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        """Use a pool that somebody else closes; its login is a worker's."""
        self._pool = pool

    async def open_pull(
        self, repo: str, head_branch: str, base_branch: str, title: str, body: str, head_sha: Sha
    ) -> PullRecord:
        """Open, or give the one that is open, or the merged one if this head was merged."""
        rows = await fetch(
            self._pool, "open_pull", repo, head_branch, base_branch, title, body, head_sha
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

    async def check(self, repo: str, sha: Sha, name: str) -> bool | None:
        """Say whether a check passed at a commit; None when it was not recorded."""
        rows = await fetch(self._pool, "show_check", repo, sha, name)
        return bool(rows[0]["passed"]) if rows else None


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
    )
