"""Rows into the values of domain/model.py and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, cast
from uuid import UUID

import asyncpg

from juggernaut.domain.model import (
    Claim,
    Completion,
    Criterion,
    EffectRecord,
    Goal,
    GoalId,
    Json,
    Learning,
    Lease,
    Priority,
    ProposedTask,
    Risk,
    Task,
    TaskId,
)
from juggernaut.domain.plans import feedback_of
from juggernaut.domain.states import TaskStatus

# What reading a row of a task comes to, when a value is none that this program knows.
UNREADABLE: Final = (ArithmeticError, LookupError, TypeError, ValueError)


def task_of(row: Mapping[str, object]) -> Task:
    """Read the JSON that juggernaut.task_json makes of a row."""
    goal, parent, budget = row["goal_id"], row["parent_task_id"], row["budget_usd"]
    return Task(
        id=TaskId(UUID(str(row["id"]))),
        title=str(row["title"]),
        description=str(row["description"]),
        task_type=str(row["task_type"]),
        priority=Priority(str(row["priority"])),
        risk=Risk(str(row["risk_level"])),
        status=TaskStatus(str(row["status"])),
        criteria=tuple(_criterion(item) for item in cast("Sequence[Json]", row["criteria"])),
        goal_id=GoalId(UUID(str(goal))) if goal else None,
        parent_id=TaskId(UUID(str(parent))) if parent else None,
        repo=_text(row["repo"]),
        payload=cast("Json", row["payload"]),
        result=cast("Json | None", row["result"]),
        attempts=int(str(row["attempts"])),
        max_attempts=int(str(row["max_attempts"])),
        timeout_seconds=float(str(row["timeout_seconds"])),
        budget_usd=None if budget is None else Decimal(str(budget)),
        error_message=_trouble(row),
        created_by=_text(row["created_by"]),
    )


def claim_of(row: asyncpg.Record, sent_monotonic: float) -> Claim:
    """Read a claimed row; the holder's time runs from before the claim was sent."""
    return Claim(task=task_of(row["task"]), lease=lease_of(row, sent_monotonic))


def lease_of(row: asyncpg.Record, sent_monotonic: float) -> Lease:
    """Read the lease of a claimed row, whatever its task says."""
    return Lease(
        task_id=TaskId(UUID(str(row["task"]["id"]))),
        fence=row["fence"],
        secret=row["secret"],
        deadline_monotonic=sent_monotonic + float(row["seconds"]),
    )


def goal_of(row: asyncpg.Record) -> Goal:
    """Read a goal."""
    return Goal(
        id=GoalId(row["id"]),
        title=row["title"],
        description=row["description"],
        status=row["status"],
        repo=row["repo"],
        replans=row["replans"],
        budget_usd=row["budget_usd"],
    )


def effect_of(row: asyncpg.Record) -> EffectRecord:
    """Read a row of the effect ledger."""
    return EffectRecord(row["id"], row["kind"], row["key"], row["state"], row["result"])


def learning_of(row: asyncpg.Record) -> Learning:
    """Read a learning."""
    return Learning(
        category=row["category"],
        title=row["title"],
        description=row["description"],
        impact=float(row["impact"]),
        tags=tuple(str(tag) for tag in row["tags"]),
    )


def learning_json(learning: Learning | None) -> dict[str, object] | None:
    """Write a learning as complete_v1 reads it."""
    if learning is None:
        return None
    return {
        "category": learning.category,
        "title": learning.title,
        "description": learning.description,
        "impact": learning.impact,
        "tags": list(learning.tags),
    }


def verdicts_json(completion: Completion) -> list[dict[str, object]]:
    """Write verdicts as complete_v1 reads them."""
    return [
        {"number": item.number, "verdict": item.verdict.value, "facts": dict(item.facts)}
        for item in completion.verdicts
    ]


def completion_values(completion: Completion) -> tuple[object, ...]:
    """Write a completion as the arguments of complete_v1 after those of the lease."""
    return (
        completion.evidence.kind,
        dict(completion.evidence.facts),
        verdicts_json(completion),
        completion.summary,
        learning_json(completion.learning),
        None if completion.result is None else dict(completion.result),
    )


def completion_json(lease: Lease, completion: Completion) -> dict[str, object]:
    """Write a completion as complete_batch_v1 reads it."""
    kind, facts, verdicts, summary, learning, result = completion_values(completion)
    return {
        "task": str(lease.task_id),
        "fence": lease.fence,
        "secret": str(lease.secret),
        "kind": kind,
        "facts": facts,
        "verdicts": verdicts,
        "summary": summary,
        "learning": learning,
        "result": result,
    }


def proposal_json(task: ProposedTask) -> dict[str, object]:
    """Write a proposed task as propose_tasks_v1 reads it."""
    return {
        "key": task.key,
        "title": task.title,
        "description": task.description,
        "task_type": task.task_type,
        "priority": task.priority.value,
        "risk": task.risk.value,
        "needs": list(task.needs),
        "criteria": [
            {"text": item.text, "check": None if item.check is None else list(item.check)}
            for item in task.criteria
        ],
        "payload": dict(task.payload),
    }


def _criterion(item: Json) -> Criterion:
    """Read a criterion."""
    check = cast("Sequence[object] | None", item["check"])
    return Criterion(
        number=int(str(item["number"])),
        text=str(item["text"]),
        check=None if check is None else tuple(str(part) for part in check),
    )


def _trouble(row: Mapping[str, object]) -> str | None:
    """Give what the next attempt has to know: what failed, and what a person sent back."""
    said = [
        f"A person sent this back: {item}" for item in feedback_of(cast("Json", row["payload"]))
    ]
    failed = _text(row["error_message"])
    return "\n".join([*([failed] if failed else []), *said]) or None


def _text(value: object) -> str | None:
    """Read a text that may be missing."""
    return None if value is None else str(value)
