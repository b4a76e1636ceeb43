"""Find a git repository on disk by the name that a task gives it, and read its heads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from juggernaut.adapters.forges.git import Git
from juggernaut.domain.errors import ForgeError, InvalidInput
from juggernaut.domain.model import Sha

NAME_CHARS: Final = 1_000
KEY_CHARS: Final = 24
DUBIOUS: Final = "dubious ownership"


@dataclass(frozen=True, slots=True)
class Heads:
    """What a repository says of itself: its default branch, its head, and one more branch."""

    default_branch: str | None
    default_sha: Sha
    branch_sha: Sha | None


def locate(repo: str, agents_root: Path) -> Path:
    """Give the real folder of a repository; raises InvalidInput naming what is wrong with it.

    A repository inside `agents_root` was made by an agent: its configuration must not be read.
    """
    if not repo or len(repo) > NAME_CHARS or "\0" in repo or not Path(repo).is_absolute():
        raise InvalidInput(
            f"repository {repo[:200]!r} is not an absolute path: name a git repository on disk"
        )
    try:
        path = Path(repo).resolve(strict=True)
        is_folder = path.is_dir()
    except (OSError, RuntimeError):
        raise InvalidInput(f"repository {repo} is not there: check the path") from None
    if not is_folder:
        raise InvalidInput(f"repository {repo} is not a folder: name a git repository on disk")
    if path.is_relative_to(agents_root.resolve()):
        raise InvalidInput(f"repository {repo} lies inside an agent's work tree: name another one")
    if not ((path / ".git").exists() or (path / "HEAD").is_file()):
        raise InvalidInput(
            f"repository {repo} is not a git repository: run `git init` and commit something"
        )
    return path


def key_of(path: Path) -> str:
    """Give the short name under which the copies of a repository are kept."""
    return hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:KEY_CHARS]


async def read_heads(git: Git, path: Path, branch: str | None = None) -> Heads:
    """Ask a repository for its heads over the local transport, which runs nothing of it."""
    wanted = [f"refs/heads/{branch}"] if branch else []
    try:
        ended = await git.run("ls-remote", "--symref", "--", str(path), "HEAD", *wanted)
    except ForgeError as error:
        raise InvalidInput(_why(path, str(error))) from error
    default_branch: str | None = None
    found: dict[str, Sha] = {}
    for line in ended.out.decode("utf-8", "replace").splitlines():
        value, _, ref = line.partition("\t")
        if value.startswith("ref: ") and ref == "HEAD":
            default_branch = value.removeprefix("ref: ").removeprefix("refs/heads/")
        else:
            found[ref] = Sha(value)
    if "HEAD" not in found:
        raise InvalidInput(f"repository {path} has no commits: commit something first")
    branch_sha = found.get(f"refs/heads/{branch}") if branch else None
    return Heads(default_branch, found["HEAD"], branch_sha)


def _why(path: Path, message: str) -> str:
    """Explain why a folder cannot be read as a repository."""
    if DUBIOUS in message or "safe.directory" in message:
        return f"repository {path} belongs to another user: run Juggernaut as its owner"
    return f"repository {path} cannot be read as a git repository ({message})"
