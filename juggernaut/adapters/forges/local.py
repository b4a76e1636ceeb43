"""The local forge: pull requests on a bare git repository on disk.

The record is in PostgreSQL, the merges are real commits. A merge goes: write the commit, record
it as intended, move the base by compare-and-swap, mark as merged. Whoever dies in between leaves
either an intention that the base does not contain (nothing happened) or one that it contains
(the next reader completes the record). One lock per repository keeps two mergers apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from juggernaut.adapters.forges.adopt import adopt, is_checkout
from juggernaut.adapters.forges.git import checked_branch, checked_sha
from juggernaut.adapters.forges.local_life import LocalLife
from juggernaut.adapters.forges.locking import locked
from juggernaut.adapters.forges.merging import Bare
from juggernaut.adapters.forges.messages import clean_body, clean_title, merge_message
from juggernaut.adapters.forges.mirror import has_commit
from juggernaut.adapters.forges.pulls import PullRow
from juggernaut.adapters.forges.repository import read_heads
from juggernaut.domain.errors import (
    ForgeError,
    HeadMoved,
    InvalidInput,
    NothingToMerge,
    PullConflict,
)
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Pull

CHECK_NAME_CHARS: Final = 100
MERGE_TRIES: Final = 5


class LocalForge(LocalLife):
    """Pull requests on bare git repositories on this machine; implements the port Forge."""

    @property
    def name(self) -> str:
        """Give the kind of this forge."""
        return "local"

    async def adopt(self, repo: str) -> str:
        """Give the bare repository to work on: `repo` itself, or the copy of a checkout.

        A copy is made at the first call and brought forward by later ones.
        """
        path = await self._locate(repo)
        if is_checkout(path):
            return str(await adopt(self._git, self._copies, path))
        await read_heads(self._git, path)
        return str(path)

    async def branch_head(self, repo: str, branch: str | None) -> Sha | None:
        """Give the head of a branch (None: the default branch), or None if it is not there."""
        bare = await self._bare(repo)
        return await bare.head(checked_branch(branch) if branch else await bare.default_branch())

    async def find_pull(self, repo: str, head_branch: str) -> Pull | None:
        """Give the newest pull request of a branch, completing a merge that was cut short."""
        bare = await self._bare(repo)
        row = await self._pulls.newest_pull(str(bare.git_dir), checked_branch(head_branch))
        return await self._shown(bare, await self._settled(bare, row)) if row else None

    async def open_pull(
        self,
        repo: str,
        head_branch: str,
        title: str,
        body: str,
        *,
        draft: bool = False,
        labels: Sequence[str] = (),
    ) -> Pull:
        """Open a pull request into the default branch; an open one is given back instead.

        Nothing here shows labels, so none are kept.
        Raises NothingToMerge when the base has it all, or this very head was merged before.
        """
        bare = await self._bare(repo)
        key = str(bare.git_dir)
        base_branch = await bare.default_branch()
        head = await bare.head(checked_branch(head_branch))
        if head_branch == base_branch:
            raise InvalidInput(f"branch {head_branch} is the default branch: open from another one")
        if head is None:
            raise ForgeError(f"branch {head_branch} is not in {repo}: push it first")
        row = await self._pulls.newest_pull(key, head_branch)
        if row is None or (await self._settled(bare, row)).state != "open":
            await self._check_news(bare, base_branch, head_branch, head)
        row = await self._pulls.open_pull(
            key, head_branch, base_branch, clean_title(title), clean_body(body), head, draft
        )
        row = await self._settled(bare, row)
        await self._check_base(bare, row)
        if row.state != "open":
            raise NothingToMerge(f"pull {row.number} merged {head} of {head_branch} already")
        return await self._shown(bare, row)

    async def post_check(self, repo: str, sha: Sha, name: str, passed: bool, text: str) -> None:
        """Record the result of a named check at a commit; a repeat replaces it."""
        bare = await self._bare(repo)
        if not await has_commit(self._git, bare.git_dir, checked_sha(sha)):
            raise ForgeError(f"commit {sha} is not in {repo}: push it before checking it")
        clean = clean_title(name)[:CHECK_NAME_CHARS]
        await self._pulls.put_check(str(bare.git_dir), sha, clean, passed, clean_body(text))

    async def merge(self, repo: str, number: int, expected: Sha, title: str, body: str) -> Pull:
        """Squash-merge if the head is `expected` and the required check passed there."""
        bare = await self._bare(repo)
        checked_sha(expected)
        async with locked(bare.git_dir / "juggernaut-merge.lock"):
            for _ in range(MERGE_TRIES):
                row = await self._row(bare, repo, number)
                if row.state == "merged" and row.head_sha == expected:
                    return await self._shown(bare, row)
                await self._check_mergeable(bare, row, expected)
                merge = await self._try_merge(bare, row, expected, title, body)
                if merge:
                    return await self._shown(bare, await self._confirmed(bare, row, merge))
        raise ForgeError(
            f"pull {number} could not be merged: its base moved {MERGE_TRIES} times meanwhile"
        )

    async def _try_merge(
        self, bare: Bare, row: PullRow, head: Sha, title: str, body: str
    ) -> Sha | None:
        """Write, intend and move once; None when the base moved or the pull was closed."""
        key = str(bare.git_dir)
        base = await bare.head(row.base_branch)
        if base is None:
            raise ForgeError(f"branch {row.base_branch} of pull {row.number} is gone")
        try:
            tree = await bare.merged_tree(base, head)
        except PullConflict as conflict:
            raise PullConflict(
                f"pull {row.number} does not apply to {row.base_branch}: {conflict}"
            ) from None
        if tree == await bare.tree_of(base):
            raise NothingToMerge(f"{row.base_branch} has all of pull {row.number} already")
        merge = await bare.squash(tree, base, merge_message(title, body, row.number, head))
        if not await self._pulls.intend_merge(key, row.number, head, merge):
            return None
        return merge if await bare.move(row.base_branch, merge, base) else None

    async def _check_mergeable(self, bare: Bare, row: PullRow, expected: Sha) -> None:
        """Refuse what is closed, moved or not verified at exactly this commit."""
        if row.state != "open":
            at = f" at {row.head_sha}" if row.state == "merged" else ""
            kind = HeadMoved if row.state == "merged" else ForgeError
            raise kind(f"pull {row.number} is {row.state}{at}: it cannot be merged at {expected}")
        head = await bare.head(row.head_branch)
        if head != expected:
            raise HeadMoved(
                f"branch {row.head_branch} is at {head}, not at {expected}: verify it again"
            )
        await self._check_base(bare, row)
        if row.draft:
            raise ForgeError(f"pull {row.number} is a draft: mark it as ready first")
        await self._check_rules(bare, row, expected)

    async def _check_base(self, bare: Bare, row: PullRow) -> None:
        """Refuse what goes into another branch than the default one: nobody asked for that here."""
        base = await bare.default_branch()
        if row.base_branch != base:
            raise ForgeError(
                f"pull {row.number} goes into {row.base_branch}, not into {base}:"
                " close it, and open another one"
            )

    async def _check_news(self, bare: Bare, base_branch: str, branch: str, head: Sha) -> None:
        """Raise NothingToMerge when a merge would change nothing."""
        base = await bare.head(base_branch)
        if base is None:
            raise InvalidInput(f"branch {base_branch} has no commits: commit something first")
        nothing = await bare.contains(base, head)
        if not nothing:
            try:
                nothing = await bare.merged_tree(base, head) == await bare.tree_of(base)
            except PullConflict:
                nothing = False
        if nothing:
            raise NothingToMerge(f"there are no commits between {base_branch} and {branch}")
