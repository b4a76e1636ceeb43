"""Which files of a repository judge a change: its tests, what they use, and how they are run."""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Set
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
