"""What came of the demo: read from the database and from git, and held against what it promises."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

from juggernaut.adapters.postgres.board import Board, Row
from juggernaut.app.demo.sample import TEST_COMMAND
from juggernaut.app.git_facts import TestRun, must, run_suite

ROWS_MOST: Final = 200
ROLES: Final = frozenset({"orchestrator", "executor", "watchdog", "analyst", "strategist"})


@dataclass(frozen=True, slots=True)
class Repositories:
    """Where the demo's repository is, its first head, and a folder for fresh clones."""

    forge: Path
    base: str
    clones: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """All facts of the end, and nothing that a model said of itself."""

    goal: Row
    tasks: list[Row]
    proofs: list[Row]
    decisions: list[Row]
    learnings: list[Row]
    reports: list[Row]
    recommendations: list[Row]
    spend: list[Row]
    alerts: list[Row]
    violations: list[Row]
    duties: list[Row]
    workers: list[Row]
    before: TestRun
    after: TestRun | None
    merged_sha: str | None
    history: str
    diff: str
    missing: list[str] = field(default_factory=list)


async def gather(board: Board, goal: UUID, repositories: Repositories) -> Outcome:
    """Read everything, and run the tests at the old head and at the new one in fresh clones."""
    proofs = await board.rows("list_proofs", goal)
    forge, clones = repositories.forge, repositories.clones
    before = await run_suite(forge, repositories.base, clones / "before", TEST_COMMAND)
    sha = next((str(row["merged_sha"]) for row in proofs if row["merged_sha"]), None)
    after = await run_suite(forge, sha, clones / "after", TEST_COMMAND) if sha else None
    span = f"{repositories.base}..{sha}"
    outcome = Outcome(
        goal=await board.row("show_goal", goal) or {},
        tasks=(await board.rows("list_tasks", None, None, goal, ROWS_MOST))[::-1],
        proofs=proofs,
        decisions=await board.rows("list_decisions", goal),
        learnings=await board.rows("list_learnings", None, goal, ROWS_MOST),
        reports=await board.rows("list_goal_reports", goal),
        recommendations=await board.rows("list_recommendations", goal, ROWS_MOST),
        spend=await board.rows("list_spend"),
        alerts=await board.rows("list_alerts", ROWS_MOST),
        violations=await board.rows("list_violations", ROWS_MOST),
        duties=await board.rows("list_duties"),
        workers=await board.rows("list_workers", ROWS_MOST),
        before=before,
        after=after,
        merged_sha=sha,
        history=await must("log", "--stat", "--format=%h %s", span, cwd=forge) if sha else "",
        diff=await must("diff", span, cwd=forge) if sha else "",
    )
    outcome.missing.extend(shortfalls(outcome))
    return outcome


def shortfalls(outcome: Outcome) -> list[str]:
    """Name each promise that was not kept; empty is success."""
    named = outcome.goal.get("status")
    promises = (
        (named == "completed", f"the goal is {named}, not completed"),
        (outcome.merged_sha is not None, "no proof holds a merged commit"),
        (not outcome.before.green, "the tests were green before the change: nothing was fixed"),
        (
            outcome.after is not None and outcome.after.green and outcome.after.ran > 0,
            "the tests are not green at the merged commit",
        ),
        (len(outcome.proofs) == len(outcome.tasks), "a task has no evidence"),
        (
            any(row["status"] == "approved" for row in outcome.decisions),
            "nothing was approved by a person",
        ),
        (bool(outcome.learnings), "no learning was stored"),
        (bool(outcome.reports), "no report was stored"),
        (bool(outcome.recommendations), "no recommendation was stored"),
        (bool(outcome.duties), "the watchdog left no trace of its duties"),
        (
            {row["worker_type"] for row in outcome.workers} >= ROLES,
            "not all five roles registered",
        ),
        (not outcome.violations, f"law_violations has {len(outcome.violations)} rows"),
    )
    return [shortfall for kept, shortfall in promises if not kept]
