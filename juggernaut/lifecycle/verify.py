"""Verify: the test command and every criterion's check run at the exact commit.

The tree is a fresh checkout; nothing of the author's tree is used. The checks run at the base
first, so that a criterion that was met before the work says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from juggernaut.domain import faults
from juggernaut.domain.counts import Counts, count_tests
from juggernaut.domain.criteria import (
    accepted_numbers,
    explain_unmet,
    first_unknown,
    judge,
    run_facts,
)
from juggernaut.domain.exchange import CommandResult
from juggernaut.domain.limits import COMMAND_SECONDS
from juggernaut.domain.model import CriterionVerdict, Sha
from juggernaut.lifecycle.attempt import Attempt

Argv = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TestRun:
    """A run of the test command and what it counted."""

    result: CommandResult
    counts: Counts

    def facts(self) -> dict[str, object]:
        """Give the run as evidence: command, exit code, counts, digest and excerpt."""
        return {
            **run_facts(self.result),
            "passed": self.counts.passed,
            "failed": self.counts.failed,
            "counted": self.counts.source,
        }


@dataclass(frozen=True, slots=True)
class Verification:
    """What the verifier found at one commit."""

    sha: Sha
    tests: TestRun | None
    verdicts: tuple[CriterionVerdict, ...]
    problem: str

    @property
    def good(self) -> bool:
        """Say that nothing was found unmet; a criterion may still be unknown."""
        return not self.problem


async def verify(
    attempt: Attempt, sha: Sha, base: Sha | None, test_argv: Argv | None
) -> Verification:
    """Run everything at `sha`, and the criteria's checks at `base` if there is one."""
    checks = [item.check for item in attempt.task.criteria if item.check]
    before = await run_at(attempt, base, checks) if base and checks else {}
    wanted = [*([test_argv] if test_argv else []), *checks]
    after = await run_at(attempt, sha, wanted) if wanted else {}
    tests = None
    if test_argv:
        tests = TestRun(after[test_argv], count_tests(after[test_argv]))
    found = judge_all(attempt, sha, tests, after, before)
    faults.reach("verify.done")
    return found


def judge_all(
    attempt: Attempt,
    sha: Sha,
    tests: TestRun | None,
    after: dict[Argv, CommandResult],
    before: dict[Argv, CommandResult],
) -> Verification:
    """Turn what ran into one verdict per criterion, and into one text of what is wrong."""
    criteria = attempt.task.criteria
    verdicts = tuple(
        judge(
            item,
            after.get(item.check) if item.check else None,
            before.get(item.check) if item.check else None,
        )
        for item in criteria
    )
    problems = [explain_unmet(criteria, verdicts)]
    if tests is not None and not tests.counts.good:
        facts = tests.facts()
        problems.insert(
            0,
            f"the tests do not pass at {sha}: {tests.counts.passed} passed,"
            f" {tests.counts.failed} failed, exit code {tests.result.exit_code}"
            f" ({tests.counts.source})\n{facts['excerpt']}",
        )
    return Verification(sha, tests, verdicts, "\n".join(part for part in problems if part))


async def run_at(attempt: Attempt, sha: Sha, commands: Iterable[Argv]) -> dict[Argv, CommandResult]:
    """Run commands in a fresh checkout of a commit, each distinct one once."""
    services = attempt.services
    workspace = await services.workspaces.checkout(attempt.repo, sha, attempt.name)
    try:
        found: dict[Argv, CommandResult] = {}
        for argv in dict.fromkeys(commands):
            found[argv] = await services.sandbox.run(
                argv, workspace.path, timeout_seconds=COMMAND_SECONDS
            )
        return found
    finally:
        await workspace.close()


async def ask_for_unknown(attempt: Attempt, verdicts: Sequence[CriterionVerdict]) -> None:
    """Block the task when a criterion has no check and nobody accepted it yet."""
    task = attempt.task
    unknown = first_unknown(verdicts, accepted_numbers(task.payload))
    if unknown is None:
        return
    text = next(item.text for item in task.criteria if item.number == unknown.number)
    await attempt.block(
        f"criterion {unknown.number} has no check, so a person has to judge it: {text}",
        f"a person: SELECT accept_criterion('{task.id}', {unknown.number}, 'note')",
    )
