"""Deleting a branch from exactly one commit, which REST has no words for: git's own push has.

The server compares when it deletes, so a push that comes in between is never lost.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from juggernaut.adapters.forges.git import Git, one_line
from juggernaut.adapters.forges.mirror import init_bare
from juggernaut.adapters.forges.source import Source, talk
from juggernaut.domain.model import Sha


async def delete_at(git: Git, source: Source, branch: str, expected: Sha) -> str:
    """Delete a branch that is at `expected`; gives an empty text, or why it is still there."""
    ref = f"refs/heads/{branch}"
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="juggernaut-delete-"))
    try:
        await init_bare(git, folder, expected)
        ended = await talk(
            git,
            source,
            "push",
            "--porcelain",
            "--no-verify",
            f"--force-with-lease={ref}:{expected}",
            "--",
            source.address,
            f":{ref}",
            git_dir=folder,
            ok=(0, 1),
        )
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    if ended.code == 0:
        return ""
    said = ended.out.decode("utf-8", "replace").splitlines()
    refused = [line for line in said if line.startswith("!")]
    return one_line(refused[0] if refused else ended.err)
