"""Merges as plumbing on a bare repository: no work tree, no index, compare-and-swap on refs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from juggernaut.adapters.forges.git import Git
from juggernaut.domain.errors import ForgeError, PullConflict
from juggernaut.domain.model import Sha

SHOWN_FILES: Final = 20


@dataclass(frozen=True, slots=True)
class Bare:
    """A bare repository of the forge, and the few commands that a merge needs."""

    git: Git
    git_dir: Path

    async def default_branch(self) -> str:
        """Give the name of the default branch, whether it has commits or not."""
        ref = await self.git.text("symbolic-ref", "HEAD", git_dir=self.git_dir)
        return ref.removeprefix("refs/heads/")

    async def head(self, branch: str) -> Sha | None:
        """Give the commit of a branch; None when the branch is not there."""
        ended = await self.git.run(
            "rev-parse",
            "--verify",
            "--quiet",
            f"refs/heads/{branch}^{{commit}}",
            git_dir=self.git_dir,
            ok=(0, 1),
        )
        return Sha(ended.out.decode().strip()) if ended.code == 0 else None

    async def contains(self, tip: Sha, commit: Sha) -> bool:
        """Say whether `commit` is `tip` or one of its ancestors (no, when it is unknown)."""
        ended = await self.git.run(
            "merge-base", "--is-ancestor", commit, tip, git_dir=self.git_dir, ok=(0, 1, 128)
        )
        return ended.code == 0

    async def tree_of(self, commit: Sha) -> str:
        """Give the tree of a commit."""
        return await self.git.text("rev-parse", f"{commit}^{{tree}}", git_dir=self.git_dir)

    async def merged_tree(self, base: Sha, head: Sha) -> str:
        """Merge in memory and give the tree. Raises PullConflict naming the files."""
        ended = await self.git.run(
            "merge-tree",
            "--write-tree",
            "--no-messages",
            "--name-only",
            "-z",
            base,
            head,
            git_dir=self.git_dir,
            ok=(0, 1),
        )
        tree, *names = (part.decode("utf-8", "replace") for part in ended.out.split(b"\0") if part)
        if ended.code == 1:
            files = sorted(set(names))
            more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
            raise PullConflict(f"conflict in {', '.join(files[:SHOWN_FILES])}{more}")
        return tree

    async def squash(self, tree: str, base: Sha, message: str) -> Sha:
        """Write the commit of a squash merge; no branch moves."""
        sha = await self.git.text(
            "commit-tree",
            tree,
            "-p",
            base,
            "-F",
            "-",
            git_dir=self.git_dir,
            stdin=message.encode(),
        )
        return Sha(sha)

    async def move(self, branch: str, new: Sha, old: Sha) -> bool:
        """Move a branch from exactly `old` to `new`; False when it stands elsewhere."""
        ref = f"refs/heads/{branch}"
        ended = await self.git.run(
            "update-ref", ref, new, old, git_dir=self.git_dir, ok=(0, 1, 128)
        )
        if ended.code == 0:
            return True
        if await self.head(branch) == old:
            raise ForgeError(f"git update-ref {ref} ended with {ended.code}: {ended.err[-400:]}")
        return False

    async def drop(self, branch: str, old: Sha) -> bool:
        """Delete a branch that is at exactly `old`; False when it is elsewhere or gone."""
        ended = await self.git.run(
            "update-ref", "-d", f"refs/heads/{branch}", old, git_dir=self.git_dir, ok=(0, 1, 128)
        )
        return ended.code == 0
