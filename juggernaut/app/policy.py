"""The policy as data: a file is checked, applied as rows, and tried on plans that were made.

The dry run assesses the stored plan of each task again. What a person declared is taken from the
factors that the plan was stored with; a declaration no higher than the floor of that time counts
as none, because the row of a new task starts at its floor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

from juggernaut.adapters.llm.yaml_file import Section, read_yaml
from juggernaut.adapters.postgres.board import Board, Row, open_board
from juggernaut.app.migrate import MigrationReport, migrate
from juggernaut.app.resources import Resources
from juggernaut.domain.diffs import judge_diff
from juggernaut.domain.digest import digest_of
from juggernaut.domain.model import (
    Criterion,
    Json,
    Priority,
    Risk,
    Task,
    TaskId,
    highest,
    risk_rank,
)
from juggernaut.domain.plans import checks_of
from juggernaut.domain.risk import Assessment, Policy, assess_diff, assess_plan, read_policy
from juggernaut.domain.states import TaskStatus


def load(path: Path) -> tuple[Policy, Json]:
    """Read a policy file; raises ConfigError naming what is wrong in it."""
    raw = Section(read_yaml(path), str(path)).values
    return read_policy(raw, str(path)), raw


async def apply(board: Board, path: Path, *, only_first: bool = False) -> int | None:
    """Write approvers and floors into the database; gives the number of this application.

    `only_first`: do nothing, and give None, when a policy was applied before.
    """
    policy, raw = load(path)
    row = await board.only("apply_policy", policy.version, digest_of(raw), raw, only_first)
    number = row["number"]
    return number if isinstance(number, int) else None


async def migrate_and_apply(dsn: str, resources: Resources) -> MigrationReport:
    """Bring a database up to date as its operator, and apply the shipped policy to a new one.

    Later changes of the policy are an operator's decision, not an upgrade's.
    """
    report = await migrate(dsn, resources.migrations)
    async with open_board(dsn) as board:
        await apply(board, resources.config / "policy.yaml", only_first=True)
    return report


async def attempt(board: Board, path: Path, last: int) -> list[Row]:
    """Say what a policy would have done to the last tasks that had a plan; nothing is changed."""
    policy, _ = load(path)
    now = await board.only("show_policy")
    needs, floors = _mapping(now["approvers"]), _mapping(now["floors"])
    merged = {name: Risk(str(risk)) for name, risk in floors.items()} | dict(policy.floors)
    rows = [compare(row, policy, merged, needs) for row in await board.rows("list_plans", last)]
    return sorted(rows, key=lambda row: not row["changed"])


def compare(row: Row, policy: Policy, floors: Mapping[str, Risk], needs: Json) -> Row:
    """Compare what was decided on one plan with what the policy would say."""
    diff = row["diff"]
    before = highest([Risk(str(row["risk_level"])), Risk(str(row["diff_risk"] or "low"))])
    after = assess(row, policy, floors)
    if isinstance(diff, Mapping):
        after = _assess_diff(after, policy, diff, checks_of(_task(row)))
    asked, wanted = int(str(needs[before.value])), policy.approvers[after.risk]
    return {
        "task_id": row["task_id"],
        "title": row["title"],
        "changed": before is not after.risk or asked != wanted,
        "risk_before": before.value,
        "risk_after": after.risk.value,
        "approvals_before": asked,
        "approvals_after": wanted,
        "factors": list(after.factors),
    }


def assess(row: Row, policy: Policy, floors: Mapping[str, Risk]) -> Assessment:
    """Assess a stored plan as if it were made under this policy."""
    body = _mapping(row["body"])
    commands = [[str(part) for part in _list(argv)] for argv in _list(body.get("commands"))]
    effects = [str(effect) for effect in _list(body.get("effects"))]
    return assess_plan(_task(row), policy, floors, effects, commands)


def _assess_diff(
    planned: Assessment, policy: Policy, body: Json, checks: Sequence[Sequence[str]]
) -> Assessment:
    """Add what a stored diff says."""
    files = [str(path) for path in _list(body.get("files"))]
    hidden = body.get("not_shown")
    judged = judge_diff(str(body.get("diff", "")), hidden if isinstance(hidden, int) else 0)
    found = assess_diff(planned.risk, policy, files, judged, checks)
    kept = [line for line in found.factors if not line.startswith("the plan: ")]
    return Assessment(found.risk, (*planned.factors, *kept))


def _task(row: Row) -> Task:
    """Make the task that a stored plan was made of."""
    body = _mapping(row["body"])
    criteria = [_mapping(item) for item in _list(body.get("criteria"))]
    return Task(
        id=TaskId(UUID(str(row["task_id"]))),
        title=str(body.get("title", "")),
        description=str(body.get("description", "")),
        task_type=str(body.get("task_type", "")),
        priority=Priority.MEDIUM,
        risk=declared(_list(row["factors"])),
        status=TaskStatus.IN_PROGRESS,
        criteria=tuple(
            Criterion(
                number=number,
                text=str(item.get("text", "")),
                check=tuple(str(part) for part in _list(item.get("check"))) or None,
            )
            for number, item in enumerate(criteria, start=1)
        ),
        payload=_mapping(row["payload"]),
    )


def declared(factors: Sequence[object]) -> Risk:
    """Give what a person declared above the floor of the time, from the factors of a plan.

    >>> declared(["declared: medium", "task type code: medium"]).value
    'low'
    >>> declared(["declared: high", "task type code: medium"]).value
    'high'
    """
    found = {}
    for line in factors:
        kind, _, risk = str(line).rpartition(": ")
        if kind == "declared" or kind.startswith("task type "):
            found[kind == "declared"] = Risk(risk)
    said, floor = found.get(True, Risk.LOW), found.get(False, Risk.LOW)
    return said if risk_rank(said) > risk_rank(floor) else Risk.LOW


def _mapping(value: object) -> Json:
    """Read a mapping of a row; anything else is empty."""
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[object]:
    """Read a list of a row; anything else is empty."""
    return value if isinstance(value, list | tuple) else ()
