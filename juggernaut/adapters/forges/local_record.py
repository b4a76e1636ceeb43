"""What every method of the local forge needs: the record, the repository, and one from the other.

The record is in PostgreSQL, the merges are real commits. Whoever dies between the two leaves either
an intention that the base does not contain (nothing happened) or one that it contains: then the
next reader completes the record.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from juggernaut.adapters.forges.adopt import is_checkout
from juggernaut.adapters.forges.git import Git
from juggernaut.adapters.forges.merging import Bare
from juggernaut.adapters.forges.pulls import PullRow, PullStore
from juggernaut.adapters.forges.repository import locate
from juggernaut.domain.errors import ForgeError, InvalidInput, InvariantBroken
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Pull


class LocalRecord:
    """Pull requests as they are recorded, and the bare repositories that they are about."""

    def __init__(self, pulls: PullStore, root: Path, git: Git | None = None) -> None:
        """Keep adopted repositories under root/forge; `root` is the one of the work trees."""
        self._pulls = pulls
        self._git = git or Git()
        self._copies = root.resolve() / "forge"
        self._trees = root.resolve() / "trees"

    async def _row(self, bare: Bare, repo: str, number: int) -> PullRow:
        """Give a pull request's record, settled; raises ForgeError when there is none."""
        row = await self._pulls.pull(str(bare.git_dir), number)
        if row is None:
            raise ForgeError(f"there is no pull {number} in {repo}")
        return await self._settled(bare, row)

    async def _settled(self, bare: Bare, row: PullRow) -> PullRow:
        """Complete the record of a merge whose commit the base contains already."""
        if row.state != "open" or row.intended_sha is None:
            return row
        base = await bare.head(row.base_branch)
        if base is None or not await bare.contains(base, row.intended_sha):
            return row
        return await self._confirmed(bare, row, row.intended_sha)

    async def _confirmed(self, bare: Bare, row: PullRow, merge: Sha) -> PullRow:
        """Mark as merged; a None from the record means that its intention was replaced."""
        done = await self._pulls.confirm_merge(str(bare.git_dir), row.number, merge)
        if done is None:
            raise InvariantBroken(
                f"{row.base_branch} of {bare.git_dir} has {merge}, which the record of pull"
                f" {row.number} does not intend"
            )
        return done

    async def _shown(self, bare: Bare, row: PullRow) -> Pull:
        """Give a pull as the port has it; the head of an open one is where its branch is now."""
        head = row.head_sha
        if row.state == "open":
            head = await bare.head(row.head_branch) or head
        return Pull(
            number=row.number,
            url=f"{bare.git_dir}#{row.number}",
            head_branch=row.head_branch,
            head_sha=head,
            base_branch=row.base_branch,
            state=row.state,
            merged_sha=row.merged_sha,
            title=row.title,
            base_sha=await bare.head(row.base_branch),
            draft=row.draft,
            ended_by=row.ended_by or "",
        )

    async def _locate(self, repo: str) -> Path:
        """Find a repository, with a git that can do what is needed."""
        await self._git.ready()
        return await asyncio.to_thread(locate, repo, self._trees)

    async def _bare(self, repo: str) -> Bare:
        """Find a bare repository; a person's checkout is not merged into."""
        path = await self._locate(repo)
        if is_checkout(path) or path.name == ".git":
            raise InvalidInput(
                f"repository {repo} is a checkout that somebody works in:"
                " adopt it first, the forge merges into bare repositories only"
            )
        return Bare(self._git, path)
