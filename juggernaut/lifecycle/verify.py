"""Verify: the test command and every criterion's check run at the exact commit.

The tree is a fresh checkout; nothing of the author's tree is used. The checks run at the base
first, so that a criterion that was met before the work says so, and the tests of the base are
listed, so that none disappears unseen. What touched its own judges is tried once more with those
of the base (trial.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from juggernaut.domain import faults
from juggernaut.domain.counts import compare
from juggernaut.domain.criteria import (
    accepted_numbers,
    explain_unmet,
    first_unknown,
    judge,
    who_accepts,
)
from juggernaut.domain.judging import files_of_tests
from juggernaut.domain.model import Criterion, CriterionVerdict, Sha
from juggernaut.domain.reports import Report, gone
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.gather import checkout
from juggernaut.lifecycle.harness import TestRun
from juggernaut.lifecycle.trial import hold_trial, judges_of, touched

Argv = tuple[str, ...]
Runs = Mapping[Argv, TestRun]


@dataclass(frozen=True, slots=True)
class Verification:
    """What the verifier found at one commit.

    `doubts`: what the tests of the base have against it, though all is green; people decide.
    """

    sha: Sha
    tests: TestRun | None
    verdicts: tuple[CriterionVerdict, ...]
    problem: str
    doubts: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Say that nothing was found unmet; a criterion may still be unknown."""
        return not self.problem


@dataclass(slots=True)
class Base:
    """What was found at the base: how the checks ended, the tests, and the files that hold them."""

    sha: Sha | None = None
    runs: dict[Argv, TestRun] = field(default_factory=dict)
    tests: dict[Argv, Report] = field(default_factory=dict)
    digests: dict[str, str | None] = field(default_factory=dict)
    judges: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Head:
    """What was found at the commit: how everything ended, and the files that judge there."""

    runs: dict[Argv, TestRun] = field(default_factory=dict)
    judges: dict[str, str] = field(default_factory=dict)


async def verify(
    attempt: Attempt, sha: Sha, base: Sha | None, test_argv: Argv | None
) -> Verification:
    """Run everything at `sha`, and look at `base` if there is one."""
    checks = [item.check for item in attempt.task.criteria if item.check]
    wanted = dict.fromkeys([*([test_argv] if test_argv else []), *checks])
    before = await look_back(attempt, base, test_argv, checks) if base and wanted else Base()
    after = await look_at(attempt, sha, before, wanted) if wanted else Head()
    tests = after.runs[test_argv] if test_argv else None
    found = judge_all(attempt, sha, tests, after.runs, before.runs)
    if found.good:
        found = await _doubted(attempt, found, before, after)
    faults.reach("verify.done")
    return found


async def _doubted(
    attempt: Attempt, found: Verification, before: Base, after: Head
) -> Verification:
    """Let the tests of the base have their word, where the change touched what judges it."""
    reports = [run.report for run in after.runs.values() if run.report is not None]
    files = touched(before.judges, after.judges, before.tests.values(), reports)
    if before.sha is None or not (files.changed or files.new):
        return found
    doubts = await hold_trial(attempt, found.sha, before.sha, files, after.runs, before.tests)
    checks = {item.number: item.check for item in attempt.task.criteria if item.check}
    verdicts = tuple(
        replace(verdict, facts={**verdict.facts, "doubt": doubts[checks[verdict.number]]})
        if checks.get(verdict.number) in doubts
        else verdict
        for verdict in found.verdicts
    )
    return replace(found, verdicts=verdicts, doubts=tuple(dict.fromkeys(doubts.values())))


async def look_back(
    attempt: Attempt, sha: Sha, test_argv: Argv | None, checks: Sequence[Argv]
) -> Base:
    """Run the checks at the base and list its tests."""
    found = Base(sha)
    async with checkout(attempt, sha) as tree:
        found.judges = await asyncio.to_thread(judges_of, tree.path)
        for argv in dict.fromkeys(checks):
            found.runs[argv] = await tree.test(argv)
        reports = {argv: run.report for argv, run in found.runs.items()}
        if test_argv and test_argv not in reports:
            reports[test_argv] = await tree.list_tests(test_argv)
        found.tests = {argv: report for argv, report in reports.items() if report is not None}
        found.digests = await tree.digests(_files(found.tests))
    holding = {path for report in found.tests.values() for path in files_of_tests(report)}
    known = {path: digest for path, digest in found.digests.items() if digest and path in holding}
    found.judges = {**known, **found.judges}
    return found


async def look_at(attempt: Attempt, sha: Sha, before: Base, wanted: Iterable[Argv]) -> Head:
    """Run everything at the commit, and compare its tests with those of the base."""
    async with checkout(attempt, sha) as tree:
        judges = await asyncio.to_thread(judges_of, tree.path, before.judges)
        now = await tree.digests(before.digests)  # before anything runs that may write
        after = {argv: await tree.test(argv) for argv in wanted}
    changed = {path for path, digest in before.digests.items() if now[path] != digest}
    runs = {argv: _compared(run, before, argv, changed) for argv, run in after.items()}
    return Head(runs, judges)


def _compared(run: TestRun, base: Base, argv: Argv, changed: set[str]) -> TestRun:
    """Compare one run; the evidence says how many tests there were and how many are gone."""
    before = base.tests.get(argv)
    if before is None:
        return run
    lost = gone(before, run.report, set()) if run.report else ()
    told: dict[str, object] = {"sha": base.sha, "tests": len(before.tests), "gone": len(lost)}
    return replace(run, counts=compare(run.counts, run.report, before, changed), before=told)


def _files(tests: Mapping[Argv, Report]) -> list[str]:
    """Give the files that hold the tests of the reports."""
    return sorted({path for report in tests.values() for path in report.files.values() if path})


def judge_all(
    attempt: Attempt, sha: Sha, tests: TestRun | None, after: Runs, before: Runs
) -> Verification:
    """Turn what ran into one verdict per criterion, and into one text of what is wrong."""
    criteria = attempt.task.criteria
    verdicts = tuple(_judge(item, after, before) for item in criteria)
    problems = [explain_unmet(criteria, verdicts)]
    if tests is not None and not tests.counts.good:
        facts, counts = tests.facts(), tests.counts
        problems.insert(
            0,
            f"the tests do not pass at {sha}: {counts.passed} passed,"
            f" {counts.failed} failed, exit code {tests.result.exit_code}"
            f" ({counts.problem or counts.source})\n{facts['excerpt']}",
        )
    return Verification(sha, tests, verdicts, "\n".join(part for part in problems if part))


def _judge(criterion: Criterion, after: Runs, before: Runs) -> CriterionVerdict:
    """Judge one criterion by the run of its check, and by the one at the base."""
    head = after.get(criterion.check) if criterion.check else None
    if criterion.check is None or head is None:
        return judge(criterion, None)
    base = before.get(criterion.check)
    return judge(criterion, head.result, base.result if base else None, head.counts.problem)


async def ask_for_unknown(attempt: Attempt, verdicts: Sequence[CriterionVerdict]) -> None:
    """Block the task when a criterion has no check and nobody accepted it yet."""
    task = attempt.task
    unknown = first_unknown(verdicts, accepted_numbers(task.payload))
    if unknown is None:
        return
    text = next(item.text for item in task.criteria if item.number == unknown.number)
    await attempt.block(
        f"criterion {unknown.number} has no check, so a person has to judge it: {text}",
        who_accepts(task.id, unknown.number, text),
    )
