"""The values that Juggernaut passes around: frozen, slotted, without behaviour of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NewType
from uuid import UUID

from juggernaut.domain.purse import Landing
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


# Language models ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool offered to a model: `schema` is a JSON schema of its arguments."""

    name: str
    description: str
    schema: Json


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that a model asks for; arguments are unvalidated."""

    id: str
    name: str
    arguments: Json


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool call gave."""

    call_id: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation: role `user` (text and tool results) or `assistant`."""

    role: str
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a language model; `force_tool` names a tool that must be called."""

    purpose: str
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    force_tool: str | None = None
    max_tokens: int = 8_192
    timeout_seconds: float = 300.0
    landing: Landing = Landing.NONE


class StopReason(StrEnum):
    """Why a model stopped; anything else is a failure of the call."""

    END = "end"
    TOOL = "tool"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call as the provider counted them; input excludes cached tokens."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What a model answered, and what it cost in US dollars."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    stop: StopReason
    usage: Usage
    model: str
    cost_usd: Decimal


# Hands ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended; output is bounded, `truncated` says that some is missing."""

    argv: tuple[str, ...]
    exit_code: int
    output: str
    seconds: float
    timed_out: bool = False
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """A prompt for a code agent and the work tree that it may change."""

    prompt: str
    system: str
    worktree: str
    test_argv: tuple[str, ...] | None = None
    max_turns: int = 40
    timeout_seconds: float = 1_800.0


@dataclass(frozen=True, slots=True)
class AgentResult:
    """How a code agent ended: `finished` only if it used its finish tool."""

    finished: bool
    summary: str
    turns: int
    tool_uses: int
    reason: str
    handoff: str | None = None  # its note, when it had to stop at a bound
    purse: str | None = None  # what the purse said, when that was the bound


@dataclass(frozen=True, slots=True)
class Change:
    """A commit on a task's branch, measured by git and not by the agent."""

    head: Sha
    base: Sha
    diff: str
    files: tuple[str, ...]
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request as the forge has it; `state` is open, merged or closed."""

    number: int
    url: str
    head_branch: str
    head_sha: Sha
    base_branch: str
    state: str
    merged_sha: Sha | None = None
    title: str = ""


def risk_rank(risk: Risk) -> int:
    """Give the place of a risk level, low = 0."""
    return tuple(Risk).index(risk)


def highest(risks: Sequence[Risk]) -> Risk:
    """Give the highest of some risk levels; low when there is none."""
    return max(risks, key=risk_rank, default=Risk.LOW)


@dataclass(frozen=True, slots=True)
class Approval:
    """A decision that a person took about the bytes behind a digest."""

    task_id: TaskId
    gate: Gate
    digest: Digest
    decision: str
    decided_by: str
    note: str
    decided_at: datetime
