"""The values that Juggernaut passes around: frozen, slotted, without behaviour of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import NewType
from uuid import UUID

from juggernaut.domain.states import TaskStatus

TaskId = NewType("TaskId", UUID)
GoalId = NewType("GoalId", UUID)
SessionId = NewType("SessionId", UUID)
WorkerId = NewType("WorkerId", str)
Sha = NewType("Sha", str)
Digest = NewType("Digest", str)
Json = Mapping[str, object]


class Risk(StrEnum):
    """How much harm a task could do; ordered low < medium < high < critical."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Priority(StrEnum):
    """How soon a task should start."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Verdict(StrEnum):
    """What the verifier found of one criterion."""

    MET = "met"
    UNMET = "unmet"
    UNKNOWN = "unknown"


class Gate(StrEnum):
    """A point where a decision is needed: on the plan, or on the diff before a merge."""

    PLAN = "plan"
    DIFF = "diff"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One acceptance criterion; `check` is the command that proves it, if there is one."""

    number: int
    text: str
    check: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """What a person wants."""

    id: GoalId
    title: str
    description: str
    status: str
    repo: str | None
    replans: int
    budget_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One row of governance_tasks as an attempt sees it."""

    id: TaskId
    title: str
    description: str
    task_type: str
    priority: Priority
    risk: Risk
    status: TaskStatus
    criteria: tuple[Criterion, ...]
    goal_id: GoalId | None = None
    parent_id: TaskId | None = None
    repo: str | None = None
    payload: Json = field(default_factory=dict)
    result: Json | None = None
    attempts: int = 0
    max_attempts: int = 3
    timeout_seconds: float = 3_600.0
    budget_usd: Decimal | None = None
    error_message: str | None = None
    created_by: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to act on a task: `secret` is known to the holder alone."""

    task_id: TaskId
    fence: int
    secret: UUID
    deadline_monotonic: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A task together with the lease on it."""

    task: Task
    lease: Lease


@dataclass(frozen=True, slots=True)
class Session:
    """One start of one worker, with a new id; `handles`: the task types it has code for."""

    id: SessionId
    secret: UUID
    worker_id: WorkerId
    worker_type: str
    handles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What an attempt intends, with the digest of its canonical bytes."""

    body: Json
    digest: Digest
    risk: Risk
    factors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Typed facts composed from tool results; `kind` is the task type's contract."""

    kind: str
    facts: Json


@dataclass(frozen=True, slots=True)
class CriterionVerdict:
    """What the verifier found of one criterion, and from which facts."""

    number: int
    verdict: Verdict
    facts: Json


@dataclass(frozen=True, slots=True)
class Learning:
    """What was learned; impact from 0 to 1."""

    category: str
    title: str
    description: str
    impact: float
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """All that `complete` writes in one transaction."""

    evidence: Evidence
    verdicts: tuple[CriterionVerdict, ...]
    summary: str
    learning: Learning | None = None
    result: Json | None = None


@dataclass(frozen=True, slots=True)
class ProposedTask:
    """A task that a role asks the database to create; `needs` are keys of siblings."""

    key: str
    title: str
    description: str
    task_type: str
    criteria: tuple[Criterion, ...]
    priority: Priority = Priority.MEDIUM
    risk: Risk = Risk.LOW
    needs: tuple[str, ...] = ()
    payload: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a gate answered: go on, or park with a reason."""

    go: bool
    reason: str


@dataclass(frozen=True, slots=True)
class EffectRecord:
    """One change in the outside world as the ledger has it."""

    id: int
    kind: str
    key: str
    state: str
    result: Json | None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line for execution_logs."""

    action: str
    message: str
    level: str = "info"
    metadata: Json = field(default_factory=dict)
    error: Json | None = None


def risk_rank(risk: Risk) -> int:
    """Give the place of a risk level, low = 0."""
    return tuple(Risk).index(risk)


def highest(risks: Sequence[Risk]) -> Risk:
    """Give the highest of some risk levels; low when there is none."""
    return max(risks, key=risk_rank, default=Risk.LOW)
