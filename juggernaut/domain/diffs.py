"""Diffs: what a change itself says about its tests, read from git's own text, line by line.

A line ends at a line feed and nowhere else, and what stands in a hunk is no header, whatever it
looks like: otherwise a change could end the file that it weakens with a sign in a comment.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from juggernaut.domain.digest import text_digest
from juggernaut.domain.model import Json

_TEST_FILE: Final = re.compile(
    r"(?:.*/)?(?:tests?|specs?|__tests__)/|(?:.*/)?(?:test_[^/]*|[^/]*[_.](?:test|spec))\.[^/.]+$",
    re.IGNORECASE,
)
_TEST: Final = re.compile(r"\s*(?:async )?def test_")
_CLAIM: Final = re.compile(r"\bassert|\bexpect\(|\brequire\.|\braises\(|\.should\b")
_SKIPS: Final = re.compile(r"\bskip|\bxfail|\bxit\(|\bxdescribe\(|#\[ignore", re.IGNORECASE)
_HUNK: Final = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_OLD: Final = "--- "
_HEAD: Final = "diff --git "
_KEPT: Final = ("old mode ", "deleted file mode ", "Binary files a/", 'Binary files "a/')


@dataclass(frozen=True, slots=True)
class Judged:
    """What the rules ask of a diff: `hidden` are the lines that people are not shown.

    `before`: the paths that stood there before; `lost_tests`: how many fewer there are now;
    `weakened`: test files that say less; `digest`: of the diff as git gave it; `unread`: files
    whose content is no text.
    """

    before: tuple[str, ...]
    lost_tests: int
    weakened: tuple[str, ...]
    digest: str
    hidden: int = 0
    unread: tuple[str, ...] = ()

    def facts(self) -> dict[str, object]:
        """Give the form in which the ledger of effects keeps it."""
        return {
            "before": list(self.before),
            "lost_tests": self.lost_tests,
            "weakened": list(self.weakened),
            "digest": self.digest,
            "hidden": self.hidden,
            "unread": list(self.unread),
        }


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a diff: the path that it had before, + or - or blank, and the rest."""

    path: str
    sign: str
    text: str


def judge_diff(
    diff: str, hidden: int = 0, before: Iterable[str] = (), unread: Iterable[str] = ()
) -> Judged:
    """Read a diff as git gave it: nothing may be masked in it, or a mask hides what it says.

    `before` and `unread` are git's own lists, where there are some.
    """
    lines = list(_lines(diff))
    tests = [line.sign for line in lines if _TEST.match(line.text)]
    return Judged(
        before=tuple(dict.fromkeys([*before, *(line.path for line in lines if line.path)])),
        lost_tests=max(0, tests.count("-") - tests.count("+")),
        weakened=tuple(_weakened(lines)),
        digest=text_digest(diff),
        hidden=hidden,
        unread=tuple(unread),
    )


def read_judged(facts: object, diff: str, counted: int) -> Judged:
    """Read it back from the ledger; what is not there is read from the diff that was kept.

    Such a diff was scrubbed, so the lines that git `counted` and it lacks are not shown.
    """
    if not isinstance(facts, dict):
        there = sum(line.sign in "+-" for line in _lines(diff) if line.sign)
        return judge_diff(diff, max(0, counted - there))
    return Judged(
        before=_texts(facts, "before"),
        lost_tests=_count(facts, "lost_tests"),
        weakened=_texts(facts, "weakened"),
        digest=str(facts.get("digest")),
        hidden=_count(facts, "hidden"),
        unread=_texts(facts, "unread"),
    )


def _texts(facts: Json, key: str) -> tuple[str, ...]:
    """Read a list of texts."""
    found = facts.get(key)
    return tuple(map(str, found)) if isinstance(found, list | tuple) else ()


def _count(facts: Json, key: str) -> int:
    """Read a number."""
    found = facts.get(key)
    return found if isinstance(found, int) else 0


def _weakened(lines: Sequence[_Line]) -> list[str]:
    """Name the test files that lose an assertion which stands nowhere else, or skip something.

    A hint for people and no proof: a test can be emptied in other ways. See docs/security.md.
    """
    lost: dict[str, Counter[str]] = {}
    kept: Counter[str] = Counter()
    found: set[str] = set()
    for line in lines:
        judges = _TEST_FILE.match(line.path) is not None
        if line.sign == "+":
            kept[line.text.strip()] += 1
            if judges and _SKIPS.search(line.text):
                found.add(line.path)
        elif judges and line.sign == "-" and _CLAIM.search(line.text):
            lost.setdefault(line.path, Counter())[line.text.strip()] += 1
    return sorted(found | {path for path, claims in lost.items() if claims - kept})


def _lines(diff: str) -> Iterator[_Line]:
    """Yield the lines of hunks; of each file's head one with no sign, so that its path is known.

    Where no hunk says how long it is, every line with + or - belongs to one.
    """
    path, old, new = "", 0, 0
    for line in diff.split("\n"):
        sign = line[:1] or " "
        if (old or new) and sign in "+- \\":
            old -= sign in "- " and old > 0
            new -= sign in "+ " and new > 0
            yield _Line(path, sign.strip("\\ "), line[1:])
            continue
        hunk, old, new = _HUNK.match(line), 0, 0
        if hunk:
            old, new = (int(count or 1) for count in hunk.groups())
        elif line.startswith(_HEAD):
            path = _head_path(line.removeprefix(_HEAD))
        elif line.startswith(_KEPT):
            yield _Line(path, "", "")  # nothing else may say that it was there: no hunk follows
        elif line.startswith(_OLD):
            path = _path(line.removeprefix(_OLD))
            yield _Line(path, "", "")
        elif sign in "+-" and not line.startswith("+++ "):
            yield _Line(path, sign, line[1:])


def _path(named: str) -> str:
    """Read the path after `--- `, empty for a new file; unusual signs of it are quoted by git."""
    name = unquoted(named.removesuffix("\t"))
    return name.removeprefix("a/") if name.startswith("a/") else ""


def _head_path(named: str) -> str:
    """Read the path of a file's head, which names it twice: git was asked for no renames."""
    name = unquoted(named[: len(named) // 2])
    return name.removeprefix("a/") if name.startswith("a/") else ""


def unquoted(path: str) -> str:
    r"""Read a path as git writes one with unusual letters.

    >>> unquoted('"a/caf\\303\\251.py"')
    'a/café.py'
    """
    if not (len(path) > 1 and path.startswith('"') and path.endswith('"')):
        return path
    raw = path[1:-1].encode("ascii", "backslashreplace")
    return raw.decode("unicode_escape").encode("latin-1", "replace").decode("utf-8", "replace")


def said_of(judged: Judged, named: Iterable[str]) -> list[str]:
    """Say why people decide on a diff; `named`: paths about which that is said already."""
    found = [f"removes {judged.lost_tests} tests"] if judged.lost_tests else []
    found += [f"weakens {path}" for path in judged.weakened if path not in set(named)]
    found += [f"{path} is not shown as text" for path in judged.unread]
    if judged.hidden:
        found.append(f"{judged.hidden} lines of this diff are not shown")
    return found
