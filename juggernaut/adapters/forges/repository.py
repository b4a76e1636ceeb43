"""Find a git repository on disk by the name that a task gives it, and read any one's heads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from juggernaut.adapters.forges.git import Git
from juggernaut.adapters.forges.source import Folder, Source, talk
from juggernaut.domain.errors import ForgeError, InvalidInput
from juggernaut.domain.model import Sha

NAME_CHARS: Final = 1_000


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


async def read_heads(git: Git, place: Path | Source, branch: str | None = None) -> Heads:
    """Ask a repository for its heads; the local transport runs nothing of it."""
    source = Folder(place) if isinstance(place, Path) else place
    wanted = [f"refs/heads/{branch}"] if branch else []
    try:
        ended = await talk(
            git, source, "ls-remote", "--symref", "--", source.address, "HEAD", *wanted
        )
    except ForgeError as error:
        if not isinstance(source, Folder):
            raise
        raise InvalidInput(
            f"repository {source.address} cannot be read as a git repository ({error})"
        ) from error
    default_branch: str | None = None
    found: dict[str, Sha] = {}
    for line in ended.out.decode("utf-8", "replace").splitlines():
        value, _, ref = line.partition("\t")
        if value.startswith("ref: ") and ref == "HEAD":
            default_branch = value.removeprefix("ref: ").removeprefix("refs/heads/")
        else:
            found[ref] = Sha(value)
    if "HEAD" not in found:
        raise InvalidInput(f"repository {source.address} has no commits: commit something first")
    branch_sha = found.get(f"refs/heads/{branch}") if branch else None
    return Heads(default_branch, found["HEAD"], branch_sha)
