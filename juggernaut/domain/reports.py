"""The report that a test harness's own process writes of its tests, and what it is worth.

The witness in that process signs it with a key that it took away before the first line of judged
code ran (juggernaut/lifecycle/witness.py). A harness that is ended early leaves no report, and
a file that somebody else wrote is not signed: both prove nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Final

PASSED: Final = "passed"
SKIPPED: Final = "skipped"
BROKEN: Final = "broken"  # no test: a file that could not be read, a fixture of a whole class
ENTRY_PARTS: Final = 2


@dataclass(frozen=True, slots=True)
class Report:
    """Each test with its outcome and its file; `digest` is the sha256 of the report's bytes."""

    outcomes: Mapping[str, str]
    files: Mapping[str, str]
    digest: str

    @property
    def tests(self) -> frozenset[str]:
        """Give the names of the tests; the cases of one parametrized test are one."""
        return frozenset(
            _function(name) for name, outcome in self.outcomes.items() if outcome != BROKEN
        )

    @property
    def passed(self) -> int:
        """Count what passed."""
        return sum(outcome == PASSED for outcome in self.outcomes.values())

    @property
    def skipped(self) -> int:
        """Count what was skipped, or is known to fail."""
        return sum(outcome == SKIPPED for outcome in self.outcomes.values())

    @property
    def failed(self) -> int:
        """Count everything else: failed, broken, or collected and never run."""
        return len(self.outcomes) - self.passed - self.skipped


def read_report(raw: bytes, key: str) -> Report | None:
    """Read a report; None for what is unsigned, signed with another key, or of another form."""
    signature, _, body = raw.partition(b"\n")
    right = hmac.new(key.encode(), body, hashlib.sha256).hexdigest().encode()
    if not hmac.compare_digest(signature, right):
        return None
    try:
        entries = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entries, dict) or not all(_is_entry(entry) for entry in entries.values()):
        return None
    return Report(
        {str(name): str(entry[0]) for name, entry in entries.items()},
        {_function(str(name)): str(entry[1]) for name, entry in entries.items()},
        hashlib.sha256(body).hexdigest(),
    )


def gone(before: Report, after: Report, changed: Set[str]) -> tuple[str, ...]:
    """Name the tests that are not there any more although nobody changed their file."""
    lost = before.tests - after.tests
    return tuple(sorted(name for name in lost if before.files.get(name) not in changed))


def _function(name: str) -> str:
    """Give a test's name without the case that it was called with."""
    return name.partition("[")[0]


def _is_entry(entry: object) -> bool:
    """Say whether an entry is an outcome and a file."""
    return (
        isinstance(entry, list)
        and len(entry) == ENTRY_PARTS
        and all(isinstance(part, str) for part in entry)
    )
