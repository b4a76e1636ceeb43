"""Real git repositories for the tests, made with a git that reads nobody's configuration."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from juggernaut.domain.model import Sha

ENV = {
    "PATH": os.environ.get("PATH", os.defpath),
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Test Person",
    "GIT_AUTHOR_EMAIL": "person@example.invalid",
    "GIT_COMMITTER_NAME": "Test Person",
    "GIT_COMMITTER_EMAIL": "person@example.invalid",
}


def git(folder: Path, *argv: str, text: str | None = None) -> str:
    """Run real git in a folder and give what it wrote."""
    done = subprocess.run(
        ["git", *argv], cwd=folder, env=ENV, input=text, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write some files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Origin:
    """A bare repository and a clone of it that a person works in."""

    bare: Path
    clone: Path

    @property
    def name(self) -> str:
        """Give the name by which tasks call the repository."""
        return str(self.bare)

    def head(self, branch: str) -> Sha:
        """Give where a branch stands."""
        return Sha(git(self.bare, "rev-parse", f"refs/heads/{branch}"))

    def push(self, branch: str, files: Mapping[str, str], start: str = "origin/main") -> Sha:
        """Commit files on a branch, as a person would, and push it."""
        git(self.clone, "fetch", "-q", "origin")
        git(self.clone, "checkout", "-q", "-B", branch, start)
        write(self.clone, files)
        git(self.clone, "add", "--all")
        git(self.clone, "commit", "-q", "-m", f"Work on {branch}")
        git(self.clone, "push", "-q", "--force", "origin", branch)
        return Sha(git(self.clone, "rev-parse", "HEAD"))

    def show(self, revision: str) -> str:
        """Give a file (`main:app.py`) or a commit's message and patch."""
        return git(self.bare, "show", revision)

    def log(self, branch: str = "main") -> list[str]:
        """Give the commits of a branch, the newest first."""
        return git(self.bare, "log", "--format=%H", branch).splitlines()


def make_origin(folder: Path, files: Mapping[str, str] | None = None) -> Origin:
    """Make a bare repository with one commit on main, and a clone."""
    bare, clone = folder / "origin.git", folder / "clone"
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "--bare", "-b", "main", str(bare))
    git(folder, "init", "-q", "-b", "main", str(clone))
    git(clone, "remote", "add", "origin", str(bare))
    write(clone, files or {"app.py": "one\ntwo\nthree\n", "README": "hello\n"})
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "First commit")
    git(clone, "push", "-q", "origin", "main")
    return Origin(bare, clone)
