"""What a trial left behind: at the forge, in its journal, and in the database."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tests.chaos.points import CELLS, POINTS, WAYS
from tests.chaos.trial import OWNER, Trial

MERGED = (200, 0)  # 0: it happened, and the reply was lost


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answers of one trial; `wrong` says in words what is against the law."""

    cell: str
    status: str
    attempts: int
    second_pulls: int
    second_merges: int
    wrong_sha: bool
    wrong: tuple[str, ...]


async def judge(trial: Trial) -> Verdict:
    """Look at everything after the end of a trial."""
    stage = trial.stage
    repo = stage.double.state.repo(f"{OWNER}/{trial.name}")
    assert repo is not None
    row = await stage.operator.fetchrow(
        "SELECT t.status, t.error_message, p.facts FROM governance_tasks t"
        " LEFT JOIN proof p ON p.task_id = t.id WHERE t.id = $1",
        trial.task,
    )
    assert row is not None
    ends = [
        one["ended_as"]
        for one in await stage.operator.fetch(
            "SELECT ended_as FROM juggernaut.attempts WHERE task_id = $1", trial.task
        )
    ]
    laws = await stage.operator.fetch(
        "SELECT law, details FROM law_violations WHERE task_id = $1", trial.task
    )
    wrong = [f"{law['law']}: {law['details']}" for law in laws]
    commits = repo.bare.text("rev-list", "--first-parent", "main").splitlines()
    merges = [pull for pull in repo.pulls.values() if pull.merged_sha is not None]
    asked = [
        entry
        for entry in stage.double.journal.of("PUT", f"/repos/{OWNER}/{trial.name}/pulls/*/merge")
        if entry.status in MERGED
    ]
    facts = json.loads(row["facts"]) if row["facts"] else {}
    wrong_sha = row["status"] == "completed" and not (
        len(merges) == 1
        and facts["head_sha"] == merges[0].head_sha
        # An heir that finds the merge done verifies what was merged, once more.
        and facts["verified_sha"] in (merges[0].head_sha, merges[0].merged_sha)
        and facts["merged_sha"] == merges[0].merged_sha == commits[0]
        and (merges[0].head_sha, "success") in {(one.sha, one.state) for one in repo.statuses}
        and not repo.bare.text("diff", "--name-only", merges[0].head_sha, "main")
    )
    if row["status"] == "completed" and ends.count("completed") != 1:
        wrong.append(f"{ends.count('completed')} attempts completed it")
    if row["status"] != "completed" and not row["error_message"]:
        wrong.append(f"{row['status']} without a reason")
    if len(asked) > 1:
        wrong.append(f"{len(asked)} merges were asked for and granted")
    return Verdict(
        cell=f"{trial.point.name}/{trial.way}",
        status=row["status"],
        attempts=len(ends),
        second_pulls=max(len(repo.pulls) - 1, 0),
        second_merges=max(len(merges), len(commits) - 1, 1) - 1,
        wrong_sha=wrong_sha,
        wrong=tuple(wrong),
    )


def stuck(trial: Trial, why: str) -> Verdict:
    """Give the verdict of a trial that did not come to its end."""
    return Verdict(f"{trial.point.name}/{trial.way}", "stuck", 0, 0, 0, False, (why,))


def bad(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Give the trials in which a promise was broken, or a task did not complete."""
    return [
        one
        for one in verdicts
        if one.second_pulls or one.second_merges or one.wrong_sha or one.wrong
    ]


def table(verdicts: Iterable[Verdict]) -> str:
    """Draw the matrix: each cell has trials / completed / second pulls / second merges / wrong."""
    found: dict[str, Counter[str]] = {}
    for one in verdicts:
        counts = found.setdefault(one.cell, Counter())
        counts.update(["trials", one.status])
        counts["pulls"] += one.second_pulls
        counts["merges"] += one.second_merges
        counts["shas"] += one.wrong_sha
        counts["laws"] += bool(one.wrong)
    known = {f"{point.name}/{way}" for point, way in CELLS}
    lines = [f"{'point':16}" + "".join(f"{way:>18}" for way in WAYS)]
    for point in POINTS:
        cells = []
        for way in WAYS:
            counts = found.get(f"{point.name}/{way}", Counter())
            broken = [counts[key] for key in ("pulls", "merges", "shas", "laws")]
            shown = f"{counts['trials']}/{counts['completed']} {'/'.join(map(str, broken))}"
            cells.append(shown if f"{point.name}/{way}" in known else "-")
        lines.append(f"{point.name:16}" + "".join(f"{cell:>18}" for cell in cells))
    lines.append("trials/completed, then second pulls/second merges/wrong shas/broken laws")
    return "\n".join(lines)
