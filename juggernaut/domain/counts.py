"""How many tests passed and failed, read from a test harness's closing line and exit code.

A known harness (pytest, unittest) that exits with 0 but never wrote its closing line did not
finish: that counts as a failure. An unknown harness counts as one check, by its exit code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from juggernaut.domain.exchange import CommandResult

_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
_PYTEST: Final = re.compile(
    r"^(?:=+ )?((?:\d+ [a-z]+(?:, )?)+|no tests ran) in [\d.]+s(?: \([\d:]+\))?(?: =+)?$"
)
_PYTEST_PART: Final = re.compile(r"(\d+) ([a-z]+)")
_UNITTEST_RAN: Final = re.compile(r"^Ran (\d+) tests? in [\d.]+s$")
_UNITTEST_END: Final = re.compile(r"^(OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$")
_UNITTEST_PART: Final = re.compile(r"([a-z ]+)=(\d+)")
_BAD: Final = frozenset({"failed", "error", "errors", "failures", "unexpected successes"})


@dataclass(frozen=True, slots=True)
class Counts:
    """The outcome of a test run; `source` says what was counted."""

    passed: int
    failed: int
    source: str

    @property
    def good(self) -> bool:
        """Say whether something passed and nothing failed."""
        return self.passed > 0 and self.failed == 0


def count_tests(result: CommandResult) -> Counts:
    """Count the tests of a run; an exit code other than 0 is never good."""
    harness = _harness(result.argv)
    lines = [line.strip() for line in _ANSI.sub("", result.output).splitlines()]
    counts = _from_pytest(lines) if harness != "unittest" else None
    counts = counts or (_from_unittest(lines) if harness != "pytest" else None)
    bad_end = result.exit_code != 0 or result.timed_out
    if counts is None:
        good = not bad_end and harness is None
        source = f"{harness} without its closing line" if harness else "the command as one check"
        return Counts(int(good), int(not good), source)
    if bad_end and counts.failed == 0:
        return Counts(counts.passed, 1, f"{counts.source}, and the exit code")
    return counts


def _harness(argv: Sequence[str]) -> str | None:
    """Give the name of the test harness that a command starts, if it is a known one."""
    names = [part.rpartition("/")[2] for part in argv]
    if "pytest" in names or "py.test" in names:
        return "pytest"
    return "unittest" if "unittest" in names else None


def _from_pytest(lines: Sequence[str]) -> Counts | None:
    """Read the last closing line of pytest."""
    for line in reversed(lines):
        found = _PYTEST.match(line)
        if found:
            parts = {name: int(n) for n, name in _PYTEST_PART.findall(found.group(1))}
            failed = sum(number for name, number in parts.items() if name in _BAD)
            return Counts(parts.get("passed", 0), failed, "pytest")
    return None


def _from_unittest(lines: Sequence[str]) -> Counts | None:
    """Read the closing lines of unittest: `Ran n tests`, then OK or FAILED."""
    ran: int | None = None
    ended: Counts | None = None
    for line in lines:
        total = _UNITTEST_RAN.match(line)
        ran = int(total.group(1)) if total else ran
        end = _UNITTEST_END.match(line)
        if end and ran is not None:
            parts = {k.strip(): int(n) for k, n in _UNITTEST_PART.findall(end.group(2) or "")}
            failed = sum(number for name, number in parts.items() if name in _BAD)
            skipped = parts.get("skipped", 0) + parts.get("expected failures", 0)
            ended = Counts(max(ran - failed - skipped, 0), failed, "unittest")
    return ended
