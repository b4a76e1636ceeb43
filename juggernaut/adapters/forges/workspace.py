"""Work trees for attempts: fresh, under a control directory, pushed by compare-and-swap."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from juggernaut.adapters.forges.git import Git, checked_branch, checked_sha, one_line
from juggernaut.adapters.forges.messages import commit_message
from juggernaut.adapters.forges.mirror import Mirror, hold, refresh
from juggernaut.adapters.forges.repository import Heads, locate, read_heads
from juggernaut.adapters.forges.source import Folder, Source, talk
from juggernaut.adapters.forges.worktree import Worktree
from juggernaut.domain.errors import ForgeError, ForgeUnreachable, HeadMoved, InvalidInput
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Change

ATTEMPT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
SWEEP_GRACE_SECONDS: Final = 600.0


# Gives the source of a repository that lies elsewhere; None for a path on this machine.
Remotes = Callable[[str], Source | None]


class GitWorkspace:
    """A work tree of one attempt; implements the port Workspace."""

    def __init__(
        self,
        worktree: Worktree,
        source: Source,
        branch: str | None,
        existing: Sha | None,
        conflicts: tuple[str, ...] = (),
    ) -> None:
        """Wrap a populated tree; `existing` is where the branch stands at the forge already."""
        self.existing = existing
        self.conflicts = conflicts
        self._worktree = worktree
        self._source = source
        self._branch = branch
        self._last: tuple[str, str, Change] | None = None

    @property
    def path(self) -> Path:
        """Give the work tree."""
        return self._worktree.tree

    @property
    def base(self) -> Sha:
        """Give the commit that the tree started from."""
        return self._worktree.base

    async def commit(self, message: str) -> Change | None:
        """Commit all that changed since base as one commit; None when nothing did.

        A second call replaces the commit of the first. Raises InvalidInput naming the path that
        a change may not hold.
        """
        tree = await self._worktree.stage()
        if tree is None:
            return None
        text = commit_message(message)
        if self._last is None or self._last[:2] != (tree, text):
            self._last = (tree, text, await self._worktree.record(tree, text))
        return self._last[2]

    async def push(self, change: Change, expected: Sha | None) -> None:
        """Move the branch from exactly `expected` (None: not there) to the change's commit.

        Raises HeadMoved when it stands elsewhere. A branch that stands at the change already is
        what was asked for.
        """
        if self._branch is None:
            raise InvalidInput(f"work tree {self.path} was opened without a branch to push to")
        head = checked_sha(change.head)
        lease = checked_sha(expected) if expected else ""
        ref = f"refs/heads/{self._branch}"
        try:
            ended = await talk(
                self._worktree.git,
                self._source,
                "push",
                "--porcelain",
                "--no-verify",
                *self._source.push_options,
                f"--force-with-lease={ref}:{lease}",
                "--",
                self._source.address,
                f"{head}:{ref}",
                git_dir=self._worktree.control,
                ok=(0, 1),
            )
        except ForgeUnreachable:
            # The answer was lost; the branch says whether the push got there.
            if (await self._heads()).branch_sha != head:
                raise
            return
        if ended.code == 0:
            return
        heads = await self._heads()
        if heads.branch_sha == head:
            return
        if heads.branch_sha != expected:
            raise HeadMoved(
                f"branch {self._branch} is at {heads.branch_sha}, not at {expected}:"
                " another attempt pushed"
            )
        said = ended.out.decode("utf-8", "replace").splitlines()
        refusal = next((line for line in said if line.startswith("!")), None)
        if refusal is None:
            why = f"git push of {self._branch} failed: {one_line(ended.err)}"
            raise self._source.explain(ForgeError(why))
        raise ForgeError(f"git push of {self._branch} was refused: {refusal[:400]}")

    async def _heads(self) -> Heads:
        """Ask where the branch is now."""
        return await read_heads(self._worktree.git, self._source, self._branch)

    async def landed(self) -> Change:
        """Measure the commit that is checked out against its first parent."""
        return await self._worktree.landed()

    async def close(self) -> None:
        """Remove the work tree; a second call does nothing."""
        folder = self._worktree.tree.parent
        await asyncio.to_thread(_remove, folder)
        with contextlib.suppress(OSError):  # another tree of the same attempt may be open
            await asyncio.to_thread(folder.parent.rmdir)


class GitWorkspaces:
    """Work trees of git repositories; implements the port Workspaces.

    root/mirrors/<key>.git                 a bare cache per repository
    root/trees/<attempt>/<name>/control    the git directory of a tree
    root/trees/<attempt>/<name>/tree       the tree
    """

    def __init__(
        self,
        root: Path,
        git: Git | None = None,
        *,
        grace_seconds: float = SWEEP_GRACE_SECONDS,
        remotes: Remotes | None = None,
    ) -> None:
        """Keep everything under `root`; only this user may enter a tree.

        `remotes` finds the repositories that are named and not a path; None: there are none.

        `grace_seconds`: a folder younger than this is never swept, because the list of living
        attempts may be older than it.
        """
        self._git = git or Git()
        self._remotes = remotes
        self._mirrors = root.resolve() / "mirrors"
        self._trees = root.resolve() / "trees"
        self._grace_seconds = grace_seconds

    async def open(self, repo: str, branch: str, attempt: str) -> GitWorkspace:
        """Open a fresh tree at the head of the default branch, to be pushed as `branch`."""
        checked_branch(branch)
        source = await self._locate(repo)
        mirror, heads = await refresh(self._git, self._mirrors, source, branch)
        if branch == heads.default_branch:
            raise InvalidInput(
                f"branch {branch} is the default branch of {repo}: work on another one"
            )
        worktree = await self._make(mirror, heads.default_sha, attempt)
        return GitWorkspace(worktree, source, branch, heads.branch_sha)

    async def resume(
        self, repo: str, branch: str, head: Sha, attempt: str, onto: Sha | None
    ) -> GitWorkspace:
        """Open a tree of the change at `head` on another base (None: the default branch's head)."""
        checked_branch(branch)
        source = await self._locate(repo)
        mirror, heads = await refresh(self._git, self._mirrors, source, branch)
        for sha in filter(None, (checked_sha(head), onto)):
            mirror = await hold(self._git, self._mirrors, source, checked_sha(sha))
        worktree = await self._make(mirror, onto or heads.default_sha, attempt, head)
        return GitWorkspace(
            worktree, source, branch, heads.branch_sha, await worktree.conflicts(head)
        )

    async def checkout(self, repo: str, sha: Sha | None, attempt: str) -> GitWorkspace:
        """Open a fresh tree of exactly this commit (None: the default branch's head)."""
        source = await self._locate(repo)
        if sha is None:
            mirror, heads = await refresh(self._git, self._mirrors, source)
            sha = heads.default_sha
        else:
            mirror = await hold(self._git, self._mirrors, source, checked_sha(sha))
        return GitWorkspace(await self._make(mirror, sha, attempt), source, None, None)

    async def sweep(self, alive: Sequence[str]) -> int:
        """Remove the trees of attempts that are not alive; gives the number of attempts."""
        return await asyncio.to_thread(self._sweep, frozenset(alive))

    async def _locate(self, repo: str) -> Source:
        """Find the repository, with a git that can do what is needed."""
        await self._git.ready()
        remote = self._remotes(repo) if self._remotes else None
        return remote or Folder(await asyncio.to_thread(locate, repo, self._trees))

    async def _make(
        self, mirror: Mirror, sha: Sha, attempt: str, change: Sha | None = None
    ) -> Worktree:
        """Make the folder of a tree and fill it; nothing stays behind when that fails."""
        if not ATTEMPT.fullmatch(attempt):
            raise InvalidInput(f"attempt name {attempt[:80]!r} is not a plain file name")
        folder = await asyncio.to_thread(self._folder, attempt)
        worktree = Worktree(self._git, folder / "control", folder / "tree", sha)
        populated = False
        try:
            await worktree.populate(mirror, change)
            populated = True
        finally:
            if not populated:
                await asyncio.to_thread(_remove, folder)
        return worktree

    def _folder(self, attempt: str) -> Path:
        """Make a new folder for one tree of an attempt; an attempt may have several."""
        self._trees.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
        home = self._trees / attempt
        home.mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(dir=home, prefix="work-"))

    def _sweep(self, alive: frozenset[str]) -> int:
        """Walk the folders of attempts."""
        if not self._trees.is_dir():
            return 0
        oldest_kept = time.time() - self._grace_seconds
        dead = [
            folder
            for folder in self._trees.iterdir()
            if folder.name not in alive and folder.lstat().st_mtime <= oldest_kept
        ]
        for folder in dead:
            _remove(folder)
        return len(dead)


def _remove(folder: Path) -> None:
    """Remove a folder, also one whose rights an agent took away."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except PermissionError:
        _give_back_rights(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _give_back_rights(folder: Path) -> None:
    """Make every real folder below writable again, following no link."""
    pending = [folder]
    while pending:
        place = pending.pop()
        place.chmod(stat.S_IRWXU)
        pending += [child for child in place.iterdir() if child.is_dir() and not child.is_symlink()]
