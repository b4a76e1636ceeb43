"""Bare mirrors: one cache of objects per repository, from which every work tree borrows.

Objects are only added, never pruned, so a tree that borrows them never loses one.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from juggernaut.adapters.forges.git import Git
from juggernaut.adapters.forges.locking import locked
from juggernaut.adapters.forges.repository import Heads, read_heads
from juggernaut.adapters.forges.source import Source, key_of, talk
from juggernaut.domain.errors import ForgeError, InvalidInput
from juggernaut.domain.limits import GIT_REMOTE_SECONDS
from juggernaut.domain.model import Sha

SHA1_DIGITS: Final = 40
KEPT: Final = "refs/juggernaut/kept"


@dataclass(frozen=True, slots=True)
class Mirror:
    """A mirror that holds a commit, and the repository that it mirrors."""

    git_dir: Path
    source: Source


async def refresh(
    git: Git, root: Path, source: Source, branch: str | None = None
) -> tuple[Mirror, Heads]:
    """Bring the head of the default branch into the mirror; gives what the source said."""
    heads = await read_heads(git, source, branch)
    mirror = await hold(git, root, source, heads.default_sha)
    return mirror, heads


async def hold(git: Git, root: Path, source: Source, sha: Sha) -> Mirror:
    """Make sure that the mirror of `source` has this commit; raises InvalidInput if nobody has."""
    mirror = Mirror(root / f"{key_of(source)}.git", source)
    await asyncio.to_thread(root.mkdir, parents=True, exist_ok=True)
    async with locked(root / f"{key_of(source)}.lock", GIT_REMOTE_SECONDS):
        if not await asyncio.to_thread((mirror.git_dir / "HEAD").exists):
            await _create(git, mirror.git_dir, sha)
        if not await has_commit(git, mirror.git_dir, sha):
            await _fetch(git, mirror, sha)
    return mirror


async def has_commit(git: Git, git_dir: Path, sha: Sha) -> bool:
    """Say whether a repository has a commit."""
    ended = await git.run("cat-file", "-e", f"{sha}^{{commit}}", git_dir=git_dir, ok=(0, 1, 128))
    return ended.code == 0


async def init_bare(git: Git, git_dir: Path, sha: Sha) -> None:
    """Make an empty bare repository for ids like this one, without template and hooks."""
    kind = "sha1" if len(sha) == SHA1_DIGITS else "sha256"
    await git.run(
        "init", "--quiet", "--bare", "--template=", f"--object-format={kind}", str(git_dir)
    )


async def _create(git: Git, git_dir: Path, sha: Sha) -> None:
    """Make a mirror beside its place and move it there, so that a half one is never seen."""
    fresh = git_dir.with_name(f"{git_dir.stem}.{secrets.token_hex(4)}.new")
    await init_bare(git, fresh, sha)
    await asyncio.to_thread(os.replace, fresh, git_dir)


async def _fetch(git: Git, mirror: Mirror, sha: Sha) -> None:
    """Fetch one commit by its id and keep it reachable."""
    try:
        await talk(
            git,
            mirror.source,
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--",
            mirror.source.address,
            f"+{sha}:{KEPT}/{sha}",
            git_dir=mirror.git_dir,
        )
    except ForgeError as error:
        if "not our ref" in str(error) or "no such remote ref" in str(error):
            raise InvalidInput(f"repository {mirror.source.address} has no commit {sha}") from error
        raise
