"""Harness: a test command runs with a witness in its process, whose signed report is counted.

Each run has a witness of its own: a folder beside the work tree with an order that is taken away
at the start, a module of a random name, and a key. A harness that was ended early leaves no
report, and what else stands in that folder is not signed.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from juggernaut.domain.counts import Counts, Harness, count_report, count_tests, harness_of
from juggernaut.domain.criteria import run_facts
from juggernaut.domain.exchange import CommandResult
from juggernaut.domain.limits import COMMAND_SECONDS, REPORT_BYTES
from juggernaut.domain.reports import Report, read_report
from juggernaut.lifecycle import witness
from juggernaut.ports import Sandbox

NAME_BYTES = 8
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class TestRun:
    """A run of a command and what it counted, with the report that says so, if there is one.

    `before` is what the same harness had at the base.
    """

    result: CommandResult
    counts: Counts
    report: Report | None = None
    before: dict[str, object] | None = None

    def facts(self) -> dict[str, object]:
        """Give the run as evidence: command, exit code, counts, digests and excerpt."""
        found: dict[str, object] = {
            **run_facts(self.result),
            "passed": self.counts.passed,
            "failed": self.counts.failed,
            "counted": self.counts.source,
        }
        if self.report is not None:
            found["report"] = {"tests": len(self.report.tests), "skipped": self.report.skipped}
            found["report_digest"] = self.report.digest
        if self.before is not None:
            found["before"] = self.before
        return found


async def run_tests(sandbox: Sandbox, tree: Path, argv: Sequence[str]) -> TestRun:
    """Run a command in a work tree and count its tests, by the witness if it is a known harness."""
    harness = harness_of(argv)
    if harness is None:
        result = await sandbox.run(argv, tree, timeout_seconds=COMMAND_SECONDS)
        return TestRun(result, count_tests(result))
    result, report = await _run(sandbox, tree, argv, harness, only_list=False)
    if report is None and not harness.sure:
        return TestRun(result, count_tests(result))
    return TestRun(result, count_report(result, report), report)


async def list_tests(sandbox: Sandbox, tree: Path, argv: Sequence[str]) -> Report | None:
    """Collect the tests of a command without running them; None when it has no report."""
    harness = harness_of(argv)
    if harness is None:
        return None
    return (await _run(sandbox, tree, argv, harness, only_list=True))[1]


async def _run(
    sandbox: Sandbox, tree: Path, argv: Sequence[str], harness: Harness, *, only_list: bool
) -> tuple[CommandResult, Report | None]:
    """Run a command with a witness of its own; the result shows the command as it was given."""
    key, name = secrets.token_hex(KEY_BYTES), f"witness_{secrets.token_hex(NAME_BYTES)}"
    folder = await asyncio.to_thread(_prepare, tree.parent, name, key, only_list)
    result = await sandbox.run(
        _with_witness(argv, harness, folder, name, only_list),
        tree,
        timeout_seconds=COMMAND_SECONDS,
        writable=(folder,),
    )
    raw = await asyncio.to_thread(_read, folder / witness.REPORT)
    return replace(result, argv=tuple(argv)), None if raw is None else read_report(raw, key)


def _with_witness(
    argv: Sequence[str], harness: Harness, folder: Path, name: str, only_list: bool
) -> tuple[str, ...]:
    """Write the command with the witness in it: an environment, and a module for unittest."""
    added = {"PYTHONPATH": str(folder)}
    if harness.name == "pytest":
        added |= {"PYTEST_PLUGINS": name}
        added |= {"PYTEST_ADDOPTS": witness.ONLY_LIST} if only_list else {}
    words = []
    for place, word in enumerate(argv):
        variable = word.partition("=")[0]
        if harness.name == "unittest" and word == "unittest" and argv[place - 1] == "-m":
            words.append(name)
        elif variable in added and "=" in word:
            words.append(f"{word}{witness.LISTS[variable]}{added[variable]}")
        else:
            words.append(word)
    return ("env", *(f"{variable}={value}" for variable, value in added.items()), *words)


def _prepare(place: Path, name: str, key: str, only_list: bool) -> Path:
    """Make the folder of a witness; it goes with the work tree beside which it stands."""
    folder = Path(tempfile.mkdtemp(dir=place.resolve(), prefix="witness-"))
    source = Path(witness.__file__).read_text(encoding="utf-8")
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    order = json.dumps({"key": key, "list": only_list})
    (folder / witness.ORDER).write_text(order, encoding="utf-8")
    return folder


def _read(place: Path) -> bytes | None:
    """Read a report; None for none, for what is no plain file, and for one that is too large."""
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_size > REPORT_BYTES:
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(REPORT_BYTES)
