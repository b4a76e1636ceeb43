"""How many tests passed and failed: by the report of a witness, or else by console and exit code.

pytest and unittest, started directly, owe a signed report: without one nothing passed. Of another
harness only a closing line that is known and the exit code can be read, which the judged code can
write too; `source` says what was counted. An unknown harness counts as one check.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Final

from juggernaut.domain.exchange import CommandResult
from juggernaut.domain.reports import Report, gone

_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
_PYTEST: Final = re.compile(
    r"^(?:=+ )?((?:\d+ [a-z]+(?:, )?)+|no tests ran) in [\d.]+s(?: \([\d:]+\))?(?: =+)?$"
)
_PYTEST_PART: Final = re.compile(r"(\d+) ([a-z]+)")
_UNITTEST_RAN: Final = re.compile(r"^Ran (\d+) tests? in [\d.]+s$")
_UNITTEST_END: Final = re.compile(r"^(OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$")
_UNITTEST_PART: Final = re.compile(r"([a-z ]+)=(\d+)")
_SHELL_MARKS: Final = re.compile(r"[\s;|&()`$\"'<>]+")
_SHOWN_TESTS: Final = 10
_BAD: Final = frozenset({"failed", "error", "errors", "failures", "unexpected successes"})


@dataclass(frozen=True, slots=True)
class Counts:
    """The outcome of a test run: `source` says what was counted, `problem` why that is no proof."""

    passed: int
    failed: int
    source: str
    problem: str = ""

    @property
    def good(self) -> bool:
        """Say whether something passed and nothing failed."""
        return self.passed > 0 and self.failed == 0 and not self.problem


@dataclass(frozen=True, slots=True)
class Harness:
    """A test harness that takes a witness; not `sure` when a shell line only speaks of it."""

    name: str
    sure: bool


def harness_of(argv: Sequence[str]) -> Harness | None:
    """Give the harness that a command starts, if a witness can go with it."""
    name = _harness(argv)
    if name == "pytest" or (name and ("-m", "unittest") in zip(argv, argv[1:], strict=False)):
        return Harness(name, sure=True)
    words = {word.rpartition("/")[2] for part in argv for word in _SHELL_MARKS.split(part)}
    return Harness("pytest", sure=False) if words & {"pytest", "py.test"} else None


def sure(argv: Sequence[str]) -> bool:
    """Say whether a command is one run of a harness, so that it owes a report."""
    harness = harness_of(argv)
    return harness is not None and harness.sure


def count_report(result: CommandResult, report: Report | None) -> Counts:
    """Count the tests of a run by its report; console and exit code may not contradict it."""
    if report is None:
        problem = "the test harness left no report: it was ended early, or could not begin"
        return Counts(0, 1, "no report", problem)
    failed = report.failed
    if failed == 0 and (result.exit_code != 0 or result.timed_out):
        return Counts(report.passed, 1, "report, and the exit code")
    said = _closing(result)
    if failed == 0 and said is not None and said.failed > 0 and sure(result.argv):
        problem = f"the console says that {said.failed} failed, and the report that none did"
        return Counts(report.passed, 0, "report", problem)
    return Counts(report.passed, failed, "report")


def compare(counts: Counts, report: Report | None, before: Report, changed: Set[str]) -> Counts:
    """Look for tests of the base that are gone, though nobody changed their file."""
    if report is None:
        problem = "the test harness left a report at the base, and none here"
        return replace(counts, problem=counts.problem or problem)
    lost = gone(before, report, changed)
    if not lost or counts.problem:
        return counts
    names = ", ".join(lost[:_SHOWN_TESTS])
    problem = f"{len(lost)} tests are gone, and the files that hold them did not change: {names}"
    return replace(counts, problem=problem)


def count_tests(result: CommandResult) -> Counts:
    """Count the tests of a run; an exit code other than 0 is never good."""
    harness = _harness(result.argv)
    counts = _closing(result)
    bad_end = result.exit_code != 0 or result.timed_out
    if counts is None:
        good = not bad_end and harness is None
        source = f"{harness} without its closing line" if harness else "the command as one check"
        return Counts(int(good), int(not good), source)
    if bad_end and counts.failed == 0:
        return Counts(counts.passed, 1, f"{counts.source}, and the exit code")
    return counts


def _closing(result: CommandResult) -> Counts | None:
    """Read the closing line of the harness that a command starts, or of any known one."""
    harness = _harness(result.argv)
    lines = [line.strip() for line in _ANSI.sub("", result.output).splitlines()]
    counts = _from_pytest(lines) if harness != "unittest" else None
    return counts or (_from_unittest(lines) if harness != "pytest" else None)


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
            return Counts(parts.get("passed", 0), failed, "console: pytest")
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
            ended = Counts(max(ran - failed - skipped, 0), failed, "console: unittest")
    return ended
