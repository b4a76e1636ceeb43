"""Plumbing on a real bare repository, by as few processes as possible."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

ENV = {
    "PATH": os.environ.get("PATH", os.defpath),
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "GitHub",
    "GIT_AUTHOR_EMAIL": "noreply@example.invalid",
    "GIT_COMMITTER_NAME": "GitHub",
    "GIT_COMMITTER_EMAIL": "noreply@example.invalid",
}

# What a served repository allows: pushes by who got past the door, fetches of any commit that a
# ref reaches, and no writing below refs/pull, which belongs to the server.
SERVED = """
[http]
    receivepack = true
[uploadpack]
    allowReachableSHA1InWant = true
    allowAnySHA1InWant = true
[receive]
    hideRefs = refs/pull
    autogc = false
[gc]
    auto = 0
"""


SHA = re.compile(r"[0-9a-f]{40}")
T = TypeVar("T")


class GitFailed(Exception):
    """A git command ended badly; the message is what it said."""


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """A commit as it is stored."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: str
    email: str
    date: str
    message: str


@dataclass(frozen=True, slots=True)
class Bare:
    """A bare repository on disk."""

    path: Path
    known: dict[tuple[str, str, str], Any] = field(default_factory=dict, compare=False)

    @classmethod
    def create(cls, path: Path) -> Bare:
        """Make an empty bare repository whose default branch is main."""
        made = cls(path)
        path.mkdir(parents=True)
        made.run("init", "-q", "--bare", "-b", "main", "--template=")
        return made

    def serve(self) -> None:
        """Let git over HTTP in."""
        config = self.path / "config"
        config.write_text(config.read_text(encoding="utf-8") + SERVED, encoding="utf-8")

    def run(
        self,
        *argv: str,
        data: bytes = b"",
        ok: Sequence[int] = (0,),
        env: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run git here and give its output; raises GitFailed for another exit code."""
        done = self.ended(*argv, data=data, env=env)
        if done.returncode not in ok:
            raise GitFailed(f"git {argv[0]}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def ended(
        self, *argv: str, data: bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git here, whatever comes of it."""
        return subprocess.run(
            ["git", f"--git-dir={self.path}", *argv],
            input=data,
            capture_output=True,
            check=False,
            env=dict(ENV, **env) if env else ENV,
        )

    def text(self, *argv: str) -> str:
        """Run git here and give its output as a stripped text."""
        return self.run(*argv).decode(errors="replace").strip()

    def refs(self) -> dict[str, str]:
        """Give every ref and the commit it points at, read as git reads it: loose before packed."""
        found = {}
        packed = self.path / "packed-refs"
        if packed.exists():
            for line in packed.read_text(encoding="utf-8").splitlines():
                sha, _, name = line.partition(" ")
                if SHA.fullmatch(sha):
                    found[name] = sha
        for folder, _, names in os.walk(self.path / "refs"):
            for name in names:
                path = Path(folder, name)
                text = ""
                with suppress(FileNotFoundError):  # deleted in this moment
                    text = path.read_text(encoding="utf-8").strip()
                if SHA.fullmatch(text):
                    found[path.relative_to(self.path).as_posix()] = text
        return found

    def resolve(self, revision: str) -> str | None:
        """Give the commit of a branch, tag or id, or None."""
        if revision.startswith("-") or not revision:
            return None
        if SHA.fullmatch(revision):
            return revision if self.has(revision) else None
        done = self.ended("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def has(self, sha: str, kind: str = "commit") -> bool:
        """Say whether an object of a kind is here."""
        return self._once("has", sha, kind, lambda: self._has(sha, kind) or None) is not None

    def _has(self, sha: str, kind: str) -> bool:
        """Ask git whether an object is here."""
        return self.ended("cat-file", "-e", f"{sha}^{{{kind}}}").returncode == 0

    def _once(self, what: str, left: str, right: str, ask: Callable[[], T]) -> T:
        """Ask git once for what can never change, since commits are what their names say."""
        key = (what, left, right)
        if key not in self.known:
            found = ask()
            if found is None:
                return found
            self.known[key] = found
        kept: T = self.known[key]
        return kept

    def contains(self, tip: str, sha: str) -> bool:
        """Say whether a commit is an ancestor of a tip, or the tip itself."""
        argv = ("merge-base", "--is-ancestor", sha, tip)
        return self._once("contains", tip, sha, lambda: self.ended(*argv).returncode == 0)

    def counts(self, base: str, head: str) -> tuple[int, int]:
        """Give how many commits head is behind base and ahead of it."""
        behind, ahead = self.text("rev-list", "--left-right", "--count", f"{base}...{head}").split()
        return int(behind), int(ahead)

    def between(self, base: str, head: str) -> list[str]:
        """Give the commits that head has and base has not, the oldest first."""
        argv = ("rev-list", "--reverse", "--topo-order", f"{base}..{head}")
        return self._once("between", base, head, lambda: self.text(*argv).split())

    def merged_tree(self, ours: str, theirs: str) -> str | None:
        """Give the tree of a merge, or None when it conflicts."""
        done = self.ended("merge-tree", "--write-tree", ours, theirs)
        if done.returncode not in (0, 1):
            raise GitFailed(done.stderr.decode(errors="replace"))
        return done.stdout.decode().split("\n", 1)[0] if done.returncode == 0 else None

    def commit(self, tree: str, parents: Sequence[str], message: str, author: str = "") -> str:
        """Write a commit and give its id."""
        env = {"GIT_AUTHOR_NAME": author} if author else None
        argv = [part for parent in parents for part in ("-p", parent)]
        return self.run("commit-tree", tree, *argv, data=message.encode(), env=env).decode().strip()

    def replayed(self, onto: str, commits: Sequence[str]) -> str | None:
        """Give the tip of commits rebased onto another, or None when one conflicts."""
        tip = onto
        for sha in commits:
            info = self.read_commit(sha)
            # A merge whose base is the commit's own parent, from three parentless stand-ins.
            origin = self.commit(f"{info.parents[0]}^{{tree}}", [], "origin")
            ours = self.commit(f"{tip}^{{tree}}", [origin], "ours")
            theirs = self.commit(info.tree, [origin], "theirs")
            tree = self.merged_tree(ours, theirs)
            if tree is None:
                return None
            tip = self.commit(tree, [tip], info.message, info.author)
        return tip

    def move(self, ref: str, new: str, old: str) -> bool:
        """Move a ref if it is at `old` (forty zeros: if it is not there)."""
        return self.ended("update-ref", ref, new, old).returncode == 0

    def put(self, ref: str, sha: str) -> None:
        """Put a ref wherever it was."""
        self.run("update-ref", ref, sha)

    def delete(self, ref: str) -> None:
        """Remove a ref."""
        self.run("update-ref", "-d", ref)

    def read_commit(self, sha: str) -> CommitInfo:
        """Read one commit."""
        form = "%H%x00%T%x00%P%x00%an%x00%ae%x00%ad%x00%B"
        raw = self.run("show", "-s", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", f"--format={form}",
                       sha, env={"TZ": "UTC"}).decode(errors="replace")  # fmt: skip
        name, tree, parents, author, email, date, message = raw.rstrip("\n").split("\0", 6)
        return CommitInfo(name, tree, tuple(parents.split()), author, email, date, message.strip())

    def changes(self, span: str) -> list[tuple[str, int, int, str]]:
        """Give path, added, removed and status letter of each file of a span (`a...b`)."""
        return self._once("changes", span, "", lambda: self._changes(span))

    def _changes(self, span: str) -> list[tuple[str, int, int, str]]:
        """Ask git for the files of a span."""
        numbers = self.text("diff", "--numstat", "--no-renames", span, "--").splitlines()
        letters = self.text("diff", "--name-status", "--no-renames", span, "--").splitlines()
        status = {line.split("\t")[1]: line[0] for line in letters}
        found = []
        for line in numbers:
            added, removed, path = line.split("\t", 2)
            count = (int(added) if added != "-" else 0, int(removed) if removed != "-" else 0)
            found.append((path, *count, status.get(path, "M")))
        return found

    def merge_base(self, left: str, right: str) -> str | None:
        """Give the best common ancestor, or None."""
        done = self.ended("merge-base", left, right)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def write(
        self,
        branch: str,
        files: Mapping[str, str | None],
        start: str | None,
        message: str,
        author: str = "Test Person",
    ) -> str:
        """Commit files on a branch in one go; None as a text removes the file."""
        when = f"{int(datetime.now(UTC).timestamp())} +0000"
        who = f"{author} <person@example.invalid> {when}"
        said = message.encode()
        parts = [f"commit refs/heads/{branch}\nauthor {who}\ncommitter {who}\n".encode()]
        parts.append(b"data %d\n%s\n" % (len(said), said))
        parts.append(f"from {start}\n".encode() if start else b"")
        for path, text in files.items():
            if text is None:
                parts.append(f"D {path}\n".encode())
            else:
                raw = text.encode()
                parts.append(f"M 100644 inline {path}\n".encode())
                parts.append(b"data %d\n%s\n" % (len(raw), raw))
        self.run("fast-import", "--quiet", "--force", data=b"".join(parts))
        found = self.resolve(f"refs/heads/{branch}")
        if found is None:
            raise GitFailed(f"{branch} was not written")
        return found
