"""The life of a pull request of the local forge: what is said of it, and what it still needs."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from juggernaut.adapters.forges.git import checked_branch, checked_sha
from juggernaut.adapters.forges.local_record import LocalRecord
from juggernaut.adapters.forges.merging import Bare
from juggernaut.adapters.forges.messages import clean_body
from juggernaut.adapters.forges.pulls import PullRow, Rules
from juggernaut.domain.errors import ForgeError, LawRefused, PullConflict
from juggernaut.domain.limits import EXCERPT_CHARS
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import (
    Check,
    CheckState,
    Mergeable,
    Promises,
    Pull,
    PullView,
    Review,
    ReviewState,
)

REQUIRED_CHECK: Final = "juggernaut/verify"
SAYING_KEY_CHARS: Final = 300


class LocalLife(LocalRecord):
    """What happens to an open pull request; implements the port PullLife."""

    async def look(self, repo: str, number: int, seen: str = "") -> PullView | None:
        """Read a pull request with all that was said of it; None when that is what `seen` was."""
        bare = await self._bare(repo)
        row = await self._row(bare, repo, number)
        pull = await self._shown(bare, row)
        if pull.state == "open":
            with contextlib.suppress(LawRefused):  # who only watches it moves nothing
                await self._pulls.head_is(str(bare.git_dir), number, pull.head_sha)
        rules = await self._pulls.rules(str(bare.git_dir))
        checks = await self._checks(bare, rules, pull.head_sha)
        reviews = tuple(await self._pulls.reviews(number))
        if pull.state == "open":
            now = await self._mergeable(bare, pull, rules, checks, reviews)
            pull = replace(pull, mergeable=now)
        comments = tuple(await self._pulls.comments(number))
        told = repr((pull, checks, reviews, comments))
        stamp = hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()
        return None if stamp == seen else PullView(pull, checks, reviews, comments, stamp)

    async def check_log(self, repo: str, check: Check) -> str:
        """Give the end of what a check said."""
        sha, _, name = check.key.partition(":")
        if not name:
            return ""
        bare = await self._bare(repo)
        return (await self._pulls.check_text(str(bare.git_dir), sha, name))[-EXCERPT_CHARS:]

    async def say(self, repo: str, number: int, key: str, text: str, reply_to: str = "") -> str:
        """Write a comment once."""
        bare = await self._bare(repo)
        answered = int(reply_to) if reply_to.isdecimal() else None
        said = await self._pulls.say(
            str(bare.git_dir), number, key[:SAYING_KEY_CHARS], clean_body(text), answered
        )
        if not said:
            raise ForgeError(f"there is no pull {number} in {repo}")
        return str(said)

    async def mark_ready(self, repo: str, number: int) -> Pull:
        """Take a pull request out of draft."""
        bare = await self._bare(repo)
        row = await self._pulls.ready(str(bare.git_dir), number)
        if row is None:
            raise ForgeError(f"there is no pull {number} in {repo}")
        return await self._shown(bare, row)

    async def close_pull(self, repo: str, number: int, reason: str) -> Pull:
        """Close a pull request that is open; one that is merged stays so."""
        bare = await self._bare(repo)
        await self._row(bare, repo, number)  # a merge that was cut short is completed first
        row = await self._pulls.close(str(bare.git_dir), number, clean_body(reason))
        if row is None:
            raise ForgeError(f"there is no pull {number} in {repo}")
        return await self._shown(bare, row)

    async def delete_branch(self, repo: str, branch: str, expected: Sha) -> bool:
        """Delete a branch that is at `expected`; the default branch never."""
        bare = await self._bare(repo)
        if checked_branch(branch) == await bare.default_branch():
            return False
        return await bare.drop(branch, checked_sha(expected))

    async def promises(self, repo: str) -> Promises:
        """Say what the rules of this repository let Juggernaut promise."""
        bare = await self._bare(repo)
        rules = await self._pulls.rules(str(bare.git_dir))
        return Promises(
            merge_method="squash",
            row_lock=True,
            protected=bool(rules.checks or rules.reviews or rules.up_to_date),
            deletes_branches=False,
            merge_queue=False,
            required_checks=(REQUIRED_CHECK, *rules.checks),
            notes=("whoever may write to the folder can move its branches past every rule",),
        )

    async def _check_rules(self, bare: Bare, row: PullRow, head: Sha) -> None:
        """Refuse a merge at a commit that lacks what the rules of the repository ask for."""
        rules = await self._pulls.rules(str(bare.git_dir))
        for check in await self._checks(bare, rules, head):
            if check.required and check.state is not CheckState.PASSED:
                state = "red" if check.state is CheckState.FAILED else "missing"
                raise ForgeError(f"check {check.name} is {state} at {head}")
        if not _reviewed(rules, await self._pulls.reviews(row.number), head):
            raise ForgeError(f"pull {row.number} lacks approving reviews of {head}")
        if rules.up_to_date and not await self._has_base(bare, row.base_branch, head):
            raise ForgeError(f"pull {row.number} is behind {row.base_branch}: update it first")

    async def _checks(self, bare: Bare, rules: Rules, head: Sha) -> tuple[Check, ...]:
        """Give the checks at a commit, with the required ones that are not there yet."""
        needed = (REQUIRED_CHECK, *rules.checks)
        rows = await self._pulls.checks(str(bare.git_dir), head)
        found = [
            Check(
                name=row.name,
                state=CheckState.PASSED if row.passed else CheckState.FAILED,
                required=row.name in needed,
                key=f"{head}:{row.name}",
                text=row.text[:EXCERPT_CHARS],
            )
            for row in rows
        ]
        there = {check.name for check in found}
        awaited = dict.fromkeys(name for name in needed if name not in there)
        return (*found, *(Check(name, CheckState.PENDING, required=True) for name in awaited))

    async def _mergeable(
        self,
        bare: Bare,
        pull: Pull,
        rules: Rules,
        checks: Sequence[Check],
        reviews: Sequence[Review],
    ) -> Mergeable:
        """Say what a merge would meet now."""
        base = await bare.head(pull.base_branch)
        if base is None or pull.base_branch != await bare.default_branch():
            return Mergeable.BLOCKED
        try:
            await bare.merged_tree(base, pull.head_sha)
        except PullConflict:
            return Mergeable.CONFLICT
        if rules.up_to_date and not await bare.contains(pull.head_sha, base):
            return Mergeable.BEHIND
        green = all(check.state is CheckState.PASSED for check in checks if check.required)
        if pull.draft or not green or not _reviewed(rules, reviews, pull.head_sha):
            return Mergeable.BLOCKED
        return Mergeable.CLEAN

    async def _has_base(self, bare: Bare, base_branch: str, head: Sha) -> bool:
        """Say whether a commit has the newest base."""
        base = await bare.head(base_branch)
        return base is not None and await bare.contains(head, base)


def _reviewed(rules: Rules, reviews: Sequence[Review], head: Sha) -> bool:
    """Say whether enough people approved this head, and nobody wants changes."""
    if any(review.state is ReviewState.CHANGES_REQUESTED for review in reviews):
        return rules.reviews == 0
    approving = [item for item in reviews if item.state is ReviewState.APPROVED]
    return len([item for item in approving if item.sha == head]) >= rules.reviews
