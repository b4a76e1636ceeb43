"""Which files of a repository judge a change: its tests, what they use, and how they are run."""

from __future__ import annotations

import configparser
import posixpath
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from fnmatch import fnmatchcase
from typing import Final

from juggernaut.domain.digest import canonical
from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.reports import PASSED, SKIPPED, Report

FOLDERS: Final = frozenset({"test", "tests", "spec", "specs", "__tests__"})
# What runs before the first test, and what says which tests there are.
SETTINGS: Final = frozenset(
    {"conftest.py", "sitecustomize.py", "usercustomize.py", "tox.ini"}
    | {"pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml"}
)
# Files with other settings too: only their part about tests counts.
SHARED: Final = frozenset({"pyproject.toml", "setup.cfg"})
_MAKE: Final = ("makefile", "gnumakefile", "*.mk")
_NODE: Final = ("package.json", ".npmrc", ".mocharc.*", "*.config.[cm]*[jt]s", "*.config.[jt]s*")
# The settings of what runs a judge, by the name of the program: there stands what it runs.
RUNNERS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("make", "gmake", "bmake", "remake"), _MAKE),
    "pytest": ("pytest.py",),  # its settings are tried as they were at the base
    "tox": ("tox.ini", "tox.toml", *sorted(SHARED)),
    "nox": ("noxfile.py",),
    "hatch": ("hatch.toml", "pyproject.toml"),
    **dict.fromkeys(("npm", "npx", "pnpm", "yarn", "bun", "deno"), (*_NODE, "deno.json*")),
    **dict.fromkeys(("jest", "vitest", "mocha", "playwright", "cypress", "node"), _NODE),
    "just": ("justfile", ".justfile", "*.just"),
    "task": ("taskfile*.y*ml", "*.taskfile.y*ml"),
    **dict.fromkeys(("rake", "rspec", "bundle"), ("rakefile*", "*.rake", ".rspec", "gemfile")),
    **dict.fromkeys(
        ("cargo", "nextest"), ("cargo.toml", ".cargo/config*", "nextest.toml", "build.rs")
    ),
    "go": ("go.mod", "go.work"),
    **dict.fromkeys(("mvn", "mvnw"), ("pom.xml", ".mvn/*")),
    **dict.fromkeys(("gradle", "gradlew"), ("*.gradle", "*.gradle.kts", "gradle.properties")),
    **dict.fromkeys(("cmake", "ctest"), ("cmakelists.txt", "*.cmake", "cmakepresets.json")),
    **dict.fromkeys(("meson", "ninja"), ("meson.build", "build.ninja")),
    **dict.fromkeys(("invoke", "inv"), ("tasks.py", "invoke.y*ml")),
    "mix": ("mix.exs",),
    "composer": ("composer.json",),
    "phpunit": ("phpunit*.xml*",),
    "dotnet": ("*.csproj", "*.sln", "directory.build.*"),
    "pre-commit": (".pre-commit-config.yaml",),
}
_BETWEEN: Final = re.compile(r"[\s;|&()`$\"'<>{}=,:@!#\\]+")
_QUOTES: Final = re.compile(r"[\"'\\]")
_GLOB: Final = re.compile(r"[*?\[]")
_WHOLE_KIND: Final = re.compile(r"\*+(?:\.\w+)?")
_SCRIPT: Final = re.compile(r"[^.]+|.*\.(?:sh|bash|zsh|mk)")
_TEST_FILE: Final = re.compile(r"test_.*\.[^.]+|.*[_.](?:test|spec)\.[^.]+")
_FAILED: Final = "failed"


def judges(path: str) -> bool:
    """Say whether a file judges by its name and place, whatever its case."""
    *_, name = parts = path.casefold().split("/")
    if any(part in FOLDERS for part in parts) or name in SETTINGS or name in SHARED:
        return True
    return _TEST_FILE.fullmatch(name) is not None


def is_settings(path: str) -> bool:
    """Say whether a file says how tests are run, and holds none."""
    name = path.casefold().rpartition("/")[2]
    return name in SETTINGS or name in SHARED or name == "__init__.py"


def named_judges(
    checks: Iterable[Sequence[str]], files: Iterable[str], before: Iterable[str]
) -> tuple[str, ...]:
    """Give the changed files that the checks name, or that say what a runner in them runs.

    A name counts wherever the file lies: a shell may go elsewhere first. What is only named has
    to have stood there `before`; settings of a runner count as new ones too. What judges by its
    own name has to be a whole part of a check: in all else it is tried as it was at the base.
    """
    parts = [part for argv in checks for part in argv]
    whole = {posixpath.normpath(part.partition("::")[0].casefold()) for part in parts if part}
    words = whole.union(word for part in parts for word in _words(part))
    words |= {word for argv in checks for word in _modules(argv)}
    runners = {pattern for word in words for pattern in RUNNERS.get(posixpath.basename(word), ())}
    old = set(before)
    return tuple(
        path
        for path in sorted(set(files))
        if any(_is(pattern, path.casefold()) for pattern in runners)
        or (path in old and path.casefold() in whole)
        or (path in old and not judges(path) and _names(path.casefold(), words, parts))
    )


def _words(part: str) -> Iterator[str]:
    """Yield the paths that may stand in a part of a command: quotes may part words, or not."""
    for read in (part, _QUOTES.sub("", part)):
        for word in _BETWEEN.split(read.casefold()):
            # -fci.mk and ${X:-check.sh}
            for said in (word, word.lstrip("-"), word[2:] if word.startswith("-") else ""):
                if said.strip("./"):
                    yield posixpath.normpath(said)


def _modules(argv: Sequence[str]) -> Iterator[str]:
    """Yield the files of the modules that Python is told to run."""
    words = " ".join(argv).casefold().split()
    for option, after in zip(words, [*words[1:], ""], strict=True):
        if option.startswith("-") and (option[1:2] == "m" or option.endswith("m")):
            for word in (after, option[2:]):
                path = _BETWEEN.sub("", word).replace(".", "/")
                yield from (f"{path}.py", f"{path}/__main__.py", f"{path}/__init__.py")


def _names(path: str, words: Iterable[str], parts: Iterable[str]) -> bool:
    """Say whether a command names a file: by its name, a folder that it replaces, or a pattern."""
    name = posixpath.basename(path)
    if _BETWEEN.search(name):
        bare = _QUOTES.sub("", name)
        return any(bare in _QUOTES.sub("", part.casefold()) for part in parts)
    return any(
        name == posixpath.basename(word)
        or word.startswith(f"{path}/")
        or _meant(posixpath.basename(word), name)
        for word in words
    )


def _meant(pattern: str, name: str) -> bool:
    """Say whether a pattern of a shell names a judge: `*.py` is what a linter reads, `*.sh` not."""
    if not _GLOB.search(pattern) or not fnmatchcase(name, pattern):
        return False
    return _SCRIPT.fullmatch(name) is not None or not _WHOLE_KIND.fullmatch(pattern)


def _is(pattern: str, path: str) -> bool:
    """Match a file's name, or where the pattern has a folder, the end of its path."""
    if "/" not in pattern:
        return fnmatchcase(posixpath.basename(path), pattern)
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"*/{pattern}")


def judging_part(path: str, raw: bytes) -> bytes | None:
    """Give the part of a file that judges; None when no part of it does."""
    name = path.casefold().rpartition("/")[2]
    try:
        if name == "pyproject.toml":
            tools = tomllib.loads(raw.decode()).get("tool", {})
            return canonical(tools["pytest"]) if "pytest" in tools else None
        if name == "setup.cfg":
            parser = configparser.RawConfigParser()
            parser.read_string(raw.decode())
            found = {part: dict(parser[part]) for part in parser.sections() if "pytest" in part}
            return canonical(found) if found else None
    except (ValueError, TypeError, AttributeError, configparser.Error, InvalidInput):
        return raw  # whoever cannot read it cannot say that it judges nothing
    return raw


def files_of_tests(report: Report) -> Set[str]:
    """Name the files that hold tests and no code; a doctest stands in the code that it judges."""
    return {
        path
        for test, path in report.files.items()
        if path and not ("::" in test and "." in test.rpartition("::")[2])
    }


def fallen(before: Report, trial: Report) -> tuple[str, ...]:
    """Name the tests of the base that do not pass in a trial of them.

    One that is skipped stands only if nobody saw it run at the base.
    """
    ends: dict[str, set[str]] = {}
    for name, end in trial.outcomes.items():
        ends.setdefault(name.partition("[")[0], set()).add(end)
    ran = {
        name.partition("[")[0] for name, end in before.outcomes.items() if end in (PASSED, _FAILED)
    }
    return tuple(sorted(test for test in before.tests if not _stands(ends.get(test), test in ran)))


def _stands(ends: Set[str] | None, ran: bool) -> bool:
    """Say whether the ends of one test's cases are good."""
    if not ends or ends - {PASSED, SKIPPED}:
        return False
    return PASSED in ends or not ran
