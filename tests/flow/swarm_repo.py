"""A repository for a swarm to work on: one that is made up, or a real one that is named.

JUGGERNAUT_PUBLIC_REPO names a bare repository on this machine, and JUGGERNAUT_PUBLIC_TEST the
command that tests it. Without them a repository of some hundred files with tests is made.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.github.double import GitHubDouble
from tests.fakes.github.state import Repo
from tests.invariants.trials import trials

PACKAGES = trials(8, 25)
MODULES = 12
STEPS = 12
SHARED = ("first.py", "second.py")
SHARED_TEST = """import unittest

from steps import first, second


class TestShared(unittest.TestCase):
    def test_values(self):
        for number in range(12):
            for module in (first, second):
                self.assertEqual(getattr(module, f"step_{number}")(), number)
"""
TOP = re.compile(r"^(?:def|class) \w+.*:$", re.MULTILINE)
# What a diff may not touch without a person: risk is raised there, and nothing would land alone.
LEFT_ALONE = re.compile(r"(?:^|/)(?:tests?|docs|misc|\.[^/]*)/|(?:^|/)(?:conftest|setup)\.py$")


@dataclass(frozen=True, slots=True)
class Change:
    """What one task does: in each file, a text that is there once is replaced."""

    title: str
    edits: tuple[tuple[str, str, str], ...]

    @property
    def files(self) -> list[str]:
        """Give the files that it touches."""
        return [path for path, _, _ in self.edits]

    @property
    def description(self) -> str:
        """Give what only its own prompt says: titles also stand in the learnings of others."""
        return f"Do this: {self.title}."

    def criteria(self) -> str:
        """Give the acceptance criteria: each new line is somewhere.

        A check that names the file itself would make it one that judges the task.
        """
        said = [
            {"text": f"{path} has it", "check": ["grep", "-rqxF", "-e", new.splitlines()[0], "."]}
            for path, _, new in self.edits
        ]
        return json.dumps(said)

    def conversation(self) -> dict[str, object]:
        """Give what the scripted model does for it."""
        edits = [
            call
            for path, old, new in self.edits
            for call in (
                {"name": "read", "arguments": {"path": path, "lines": 1}},
                {"name": "edit", "arguments": {"path": path, "old": old, "new": new}},
            )
        ]
        done = {"name": "finish", "arguments": {"summary": self.title}}
        turns = [{"text": "I change it.", "tools": edits}, {"text": "Done.", "tools": [done]}]
        return {"purpose": "code", "contains": [self.description], "turns": turns}


@dataclass(frozen=True, slots=True)
class Ground:
    """A served repository, the command that tests it, and places where it can be changed."""

    repo: Repo
    test: tuple[str, ...]
    shared: tuple[tuple[str, tuple[str, ...]], ...]
    single: tuple[tuple[str, str], ...]

    def changes(self, together: int, apart: int) -> list[Change]:
        """Give changes: the first ones all in the same two files, the rest each in its own."""
        assert all(len(places) >= together for _, places in self.shared), "too few places"
        assert len(self.single) >= apart, "too few files"
        made = [
            Change(
                f"Note {number} in two files",
                tuple(
                    (path, places[number], _noted(places[number], f"{number}-{file}"))
                    for file, (path, places) in enumerate(self.shared)
                ),
            )
            for number in range(together)
        ]
        for number, (path, place) in enumerate(self.single[:apart], start=together):
            edit = (path, place, _noted(place, str(number)))
            made.append(Change(f"Note {number} in one file", (edit,)))
        return made

    def commits(self) -> list[str]:
        """Give the commits of the default branch, the newest first."""
        branch = self.repo.default_branch
        return self.repo.bare.text("rev-list", "--first-parent", branch).splitlines()

    def suite_is_green(self, sha: str, folder: Path) -> bool:
        """Run the suite at a commit, in a checkout of its own."""
        checkout = folder / sha
        self.repo.bare.run("worktree", "add", "-q", "--detach", str(checkout), sha)
        done = subprocess.run(self.test, cwd=checkout, capture_output=True, check=False)
        self.repo.bare.run("worktree", "remove", "--force", str(checkout))
        return done.returncode == 0


def _noted(place: str, note: str) -> str:
    """Give a place with a note before it; a made-up step also changes what it gives."""
    found = re.fullmatch(r"def (step_\d+)\(\) -> int:\n    return (\d+)", place)
    if found is None:
        return f"# Note {note} of the swarm.\n{place}"
    return f"def {found[1]}() -> int:  # note {note}\n    return {found[2]} + 0"


def prepare(double: GitHubDouble, folder: Path) -> Ground:
    """Serve the repository that is named, or a made-up one."""
    given = os.environ.get("JUGGERNAUT_PUBLIC_REPO")
    return _real(double, Path(given), folder) if given else _made_up(double)


def _step(number: int, value: int) -> str:
    """Write a function that a task can find."""
    return f"def step_{number}() -> int:\n    return {value}"


def _made_up(double: GitHubDouble) -> Ground:
    """Make some hundred modules with a test each."""
    files: dict[str, str | None] = {"README.md": "# Steps\n"}
    single = []
    for package in range(PACKAGES):
        files[f"steps/p{package}/__init__.py"] = ""
        for module in range(MODULES):
            name, value = f"steps/p{package}/m{module}.py", package * MODULES + module
            files[name] = f'"""Module {value}."""\n\n\n{_step(value, value)}\n'
            single.append((name, _step(value, value)))
        lines = [f"from steps.p{package}.m{n} import step_{package * MODULES + n}" for n in (0, 1)]
        asked = [f"        self.assertEqual(step_{v}(), {v})" for v in _first(package)]
        head = ["import unittest", "", *lines, "", "", "class TestSteps(unittest.TestCase):"]
        body = ["    def test_values(self):", *asked, ""]
        files[f"tests/test_p{package}.py"] = "\n".join([*head, *body])
    files |= {"steps/__init__.py": "", "tests/__init__.py": ""}
    steps = [_step(number, number) for number in range(STEPS)]
    text = "\n\n\n".join(['"""Shared."""', *steps]) + "\n"
    shared = tuple((f"steps/{name}", tuple(steps)) for name in SHARED)
    files |= {path: text for path, _ in shared}
    files["tests/test_shared.py"] = SHARED_TEST
    repo = double.create("octo/steps", files)
    return Ground(repo, (sys.executable, "-m", "unittest", "-q"), shared, tuple(single))


def _first(package: int) -> tuple[int, int]:
    """Give the values of the two modules of a package that its test looks at."""
    return package * MODULES, package * MODULES + 1


def _real(double: GitHubDouble, mirror: Path, folder: Path) -> Ground:
    """Serve the newest commit of a real repository, and find places in it."""
    bare = folder / "public.git"
    argv = ["git", "clone", "-q", "--bare", "--single-branch", f"file://{mirror}", str(bare)]
    subprocess.run(argv, check=True, capture_output=True)
    repo = double.host("octo/public", bare)
    repo.default_branch = repo.bare.text("symbolic-ref", "--short", "HEAD")
    places = _places(repo, repo.bare.text("ls-tree", "-r", "--name-only", "HEAD").splitlines())
    places.sort(key=lambda item: -len(item[1]))
    shared, single = places[: len(SHARED)], places[len(SHARED) :]
    command = shlex.split(os.environ.get("JUGGERNAUT_PUBLIC_TEST", "python -m pytest -q"))
    test = (sys.executable, *command[1:]) if command[0] == "python" else tuple(command)
    return Ground(repo, test, tuple(shared), tuple((path, found[0]) for path, found in single))


def _places(repo: Repo, paths: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Find the Python files of a repository with the lines at their top level that are unique."""
    found = []
    for path in paths:
        if not path.endswith(".py") or LEFT_ALONE.search(path):
            continue
        text = repo.bare.run("show", f"HEAD:{path}").decode()
        lines = [line for line in TOP.findall(text) if text.count(line) == 1]
        # The same gap between notes as between functions: two of them never touch one hunk.
        if lines:
            found.append((path, tuple(lines)))
    return found
