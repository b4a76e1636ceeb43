"""Writes the end of the demo: for people as text, for programs as one JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from juggernaut.adapters.postgres.board import Row
from juggernaut.app.cli.output import cell, plain
from juggernaut.app.cli.people import SHORT_ID_CHARS
from juggernaut.app.demo.outcome import Outcome
from juggernaut.app.demo.story import Played
from juggernaut.app.git_facts import TestRun

REPORT_LINES: Final = 14
FACT_CHARS: Final = 110
FACTS_SHOWN: Final = {
    "planning": ("task_ids",),
    "code": ("pull_url", "head_sha", "merged_sha", "files"),
    "command": ("command", "exit_code", "output_digest"),
    "report": ("report_id", "metrics_digest"),
    "strategy": ("recommendation_ids", "metrics_digest"),
}


def as_json(played: Played, keep: bool) -> str:
    """Give the whole outcome as one JSON object; how to connect only if there is something left."""
    outcome = played.outcome
    ok = not outcome.missing
    facts: dict[str, object] = {
        "ok": ok,
        "missing": outcome.missing,
        "seconds": round(played.seconds, 1),
        "goal": outcome.goal,
        "merged_sha": outcome.merged_sha,
        "tests_before": _counts(outcome.before),
        "tests_after": _counts(outcome.after),
        "tasks": outcome.tasks,
        "evidence": outcome.proofs,
        "decisions": outcome.decisions,
        "learnings": outcome.learnings,
        "reports": outcome.reports,
        "recommendations": outcome.recommendations,
        "spend": outcome.spend,
        "spend_is": "pretend: a scripted model has no price",
        "watchdog": outcome.duties,
        "alerts": outcome.alerts,
        "law_violations": outcome.violations,
        "diff": outcome.diff,
        "repository": str(played.stage.repository),
        "worker_exit": played.worker_exit,
    }
    if keep:
        facts["dsn"] = played.stage.operator_url
        facts["folder"] = str(played.stage.folder.parent)
    if not ok:
        facts["worker_log"] = played.worker_log
    return json.dumps(plain(facts), indent=2)


def tell(played: Played, out: Console) -> None:
    """Write the end for people."""
    outcome = played.outcome
    _part(out, "merged commit", [outcome.history or "nothing was merged"])
    _part(out, "the change", [line for line in outcome.diff.splitlines() if line[:1] in "+-"])
    _part(
        out,
        "tests",
        [
            f"before: {_said(outcome.before)}",
            f"merged: {_said(outcome.after)} at {outcome.merged_sha}",
        ],
    )
    _part(out, "evidence (SELECT * FROM proof)", list(_evidence(outcome)))
    _part(out, "approved by a person", _decisions(outcome))
    _part(
        out,
        "learned",
        [f"{row['title']}: {row['description']}" for row in outcome.learnings],
    )
    _part(out, "report", _report(outcome.reports))
    _part(
        out,
        "recommended (proposals: a person accepts or declines them)",
        [f"{row['kind']}: {row['title']}" for row in outcome.recommendations],
    )
    _part(out, "watchdog", _duties(outcome))
    _part(out, "cost (pretend prices: the model is a script)", _costs(outcome))
    _part(out, "law_violations", [f"{row}" for row in outcome.violations] or ["none"])
    goal = outcome.goal
    _part(
        out,
        "goal",
        [
            f"{goal.get('status')}: {goal.get('completed')} of {goal.get('tasks')} tasks,"
            f" {played.seconds:.1f} s"
        ],
    )


def tell_failure(played: Played) -> None:
    """Write what is missing, and the end of the worker's log, to standard error."""
    lines = [f"missing: {shortfall}" for shortfall in played.outcome.missing]
    for task in played.outcome.tasks:
        if task["status"] != "completed":
            lines.append(f"task {task['status']}: {task['title']} ({task['reason']})")
    lines += ["the end of the worker's log:", played.worker_log or "(empty)"]
    sys.stderr.write(cell("\n".join(lines)) + "\n")


def _part(out: Console, heading: str, lines: Sequence[str]) -> None:
    """Write a heading and what belongs to it."""
    out.print(Text(f"\n{heading}", style="bold"))
    for line in lines:
        out.print(Text(f"  {cell(line)}".replace("\n", "\n  ")), soft_wrap=True)


def _evidence(outcome: Outcome) -> Iterator[str]:
    """Give the proof of each task: the facts it rests on, and a verdict for each criterion."""
    for row in outcome.proofs:
        yield f"{row['task_type']}: {row['title']}"
        for line in (*_facts(row), *_verdicts(row)):
            yield f"    {line}"


def _facts(row: Row) -> Iterator[str]:
    """Give the facts worth a line."""
    facts = row["facts"]
    if isinstance(facts, dict):
        for name in FACTS_SHOWN.get(str(row["kind"]), tuple(facts)):
            if name in facts:
                text = cell(facts[name])
                if name.endswith("_ids"):
                    text = ", ".join(str(item)[:SHORT_ID_CHARS] for item in facts[name])
                yield f"{name}: {text if len(text) <= FACT_CHARS else text[:FACT_CHARS] + ' ...'}"


def _verdicts(row: Row) -> Iterator[str]:
    """Give each verdict in a line."""
    found = row["verdicts"]
    for verdict in found if isinstance(found, list) else []:
        yield f"{cell(verdict.get('verdict'))}: {cell(verdict.get('text'))}"


def _decisions(outcome: Outcome) -> list[str]:
    """Give who decided what."""
    return [
        f"{row['title']}: {row['status']} by {row['approved_by']}"
        f" (risk {row['risk_level']}, digest {str(row['digest'])[:12]})"
        for row in outcome.decisions
    ] or ["nothing"]


def _report(reports: Sequence[Row]) -> list[str]:
    """Give the beginning of the newest report."""
    if not reports:
        return ["none"]
    lines = str(reports[-1]["body"]).splitlines()
    rest = len(lines) - REPORT_LINES
    return lines[:REPORT_LINES] + ([f"... {rest} more lines"] if rest > 0 else [])


def _duties(outcome: Outcome) -> list[str]:
    """Give what the watchdog did."""
    return [f"{cell(row['what'])}: {cell(row['facts'])}" for row in outcome.duties] or ["nothing"]


def _costs(outcome: Outcome) -> list[str]:
    """Give what each purse holds."""
    return [
        f"{row['scope']}: {_usd(row['spent_usd'])} of {_usd(row['cap_usd'])} US dollars"
        for row in outcome.spend
    ]


def _usd(amount: object) -> str:
    """Give an amount with the digits that matter for single calls."""
    return f"{float(str(amount)):.3f}"


def _counts(run: TestRun | None) -> dict[str, object] | None:
    """Give a test run as JSON."""
    if run is None:
        return None
    return {
        "green": run.green,
        "ran": run.ran,
        "passed": run.ran - run.broken,
        "failed": run.broken,
    }


def _said(run: TestRun | None) -> str:
    """Give a test run in words."""
    if run is None:
        return "no merged commit to test"
    return f"{run.ran - run.broken} of {run.ran} passed" + ("" if run.green else ", red")
