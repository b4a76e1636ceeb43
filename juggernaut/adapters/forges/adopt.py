"""Adopt a person's checkout: the forge keeps a bare copy, so that no merge moves their branch.

The person gets what was merged with `git pull <copy> <branch>`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path
from typing import Final

from juggernaut.adapters.forges.git import Git
from juggernaut.adapters.forges.locking import locked
from juggernaut.adapters.forges.merging import Bare
from juggernaut.adapters.forges.mirror import init_bare
from juggernaut.adapters.forges.repository import Heads, read_heads
from juggernaut.adapters.forges.source import Folder, key_of
from juggernaut.domain.errors import InvalidInput

INCOMING: Final = "refs/juggernaut/incoming"


def is_checkout(path: Path) -> bool:
    """Say whether a repository has a work tree that a person works in."""
    return (path / ".git").exists()


async def adopt(git: Git, root: Path, checkout: Path) -> Path:
    """Create or refresh the bare copy of a checkout and give its path.

    Raises InvalidInput when the checkout has no branch, no commits, or went another way than
    the copy.
    """
    heads = await read_heads(git, checkout)
    branch = heads.default_branch
    if branch is None:
        raise InvalidInput(f"checkout {checkout} is on no branch: run `git switch <branch>` there")
    copy = root / f"{checkout.name}-{key_of(Folder(checkout))}.git"
    await asyncio.to_thread(root.mkdir, parents=True, exist_ok=True)
    async with locked(copy.with_suffix(".lock")):
        if not await asyncio.to_thread((copy / "HEAD").exists):
            fresh = copy.with_name(f"{copy.stem}.{secrets.token_hex(4)}.new")
            await init_bare(git, fresh, heads.default_sha)
            await asyncio.to_thread(os.replace, fresh, copy)
        await _take_over(Bare(git, copy), checkout, branch, heads)
    return copy


async def _take_over(bare: Bare, checkout: Path, branch: str, heads: Heads) -> None:
    """Bring the checkout's branch into the copy, forward only, and make it the default."""
    new = heads.default_sha
    await bare.git.run(
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--",
        str(checkout),
        f"+{new}:{INCOMING}",
        git_dir=bare.git_dir,
    )
    old = await bare.head(branch)
    if old is None:
        await bare.git.run("update-ref", f"refs/heads/{branch}", new, "", git_dir=bare.git_dir)
    elif not await bare.contains(old, new) and not (
        await bare.contains(new, old) and await bare.move(branch, new, old)
    ):
        raise InvalidInput(
            f"checkout {checkout} and its copy {bare.git_dir} went different ways on {branch}:"
            f" run `git pull {bare.git_dir} {branch}` in the checkout first"
        )
    await bare.git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}", git_dir=bare.git_dir)
