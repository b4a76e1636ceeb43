"""The Store port: everything that PostgreSQL does for the lifecycle, by theme.

Methods that write for an attempt take its Lease; their answer says whether the write landed,
and False means that the lease is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from juggernaut.domain.exchange import Terms
from juggernaut.domain.model import (
    Claim,
    Completion,
    Decision,
    EffectRecord,
    Gate,
    Goal,
    Json,
    Learning,
    Lease,
    LogEntry,
    Plan,
    ProposedTask,
    Risk,
    Session,
    Task,
    TaskId,
    WorkerId,
)
from juggernaut.domain.purse import Reservation
from juggernaut.ports.watches import PullWork, Watches


class Fleet(Protocol):
    """Workers and their sessions."""

    async def open_session(
        self, worker_id: WorkerId, worker_type: str, handles: tuple[str, ...], meta: Json
    ) -> Session:
        """Register a start of a worker; its first claim comes after this.

        It will claim what it handles and what an operator granted, and nothing else.
        """
        ...

    async def beat(self, session: Session, status: str, task: TaskId | None) -> bool:
        """Renew the session, and with it every lease of it; False when it is gone."""
        ...

    async def close_session(self, session: Session) -> None:
        """Write `offline` and end the session."""
        ...

    async def thresholds(self) -> Mapping[str, float]:
        """Give the thresholds of the database, in seconds or plain numbers."""
        ...

    async def risk_floors(self) -> Mapping[str, Risk]:
        """Give the least risk of each task type."""
        ...


class Queue(Protocol):
    """Where tasks come from."""

    async def claim(self, session: Session, slots: int) -> Sequence[Claim]:
        """Claim up to `slots` tasks, the most urgent first; one statement."""
        ...

    async def idle(self, session: Session, waiting: bool) -> None:
        """Say that this worker sleeps and wants a NOTIFY for new work, or no longer does."""
        ...

    async def release(self, lease: Lease, reason: str) -> bool:
        """Give the task back without counting an attempt."""
        ...


class Attempts(Protocol):
    """The writes of an attempt, all fenced."""

    async def pass_gate(self, lease: Lease, gate: Gate, plan: Plan) -> Decision | None:
        """Record a plan or diff and ask whether it may go on; None when the lease is lost.

        A decision that does not go parks the task as `waiting_approval` and ends the lease.
        """
        ...

    async def log(self, lease: Lease, entry: LogEntry) -> bool:
        """Append to execution_logs."""
        ...

    async def complete(self, lease: Lease, completion: Completion) -> bool:
        """Write evidence, verdicts, learning and `completed` in one transaction."""
        ...

    async def fail(
        self, lease: Lease, code: str, message: str, *, retry_after: float | None
    ) -> str | None:
        """End the attempt; retry after so many seconds if the row allows, else `failed`.

        Gives the new status, or None when the lease was lost.
        """
        ...

    async def block(self, lease: Lease, reason: str, owner: str) -> bool:
        """Park the task as `blocked`: `owner` (a person's duty) has the next step."""
        ...

    async def put_off(self, lease: Lease, code: str, reason: str, seconds: float) -> bool:
        """Give the task back without counting an attempt, to be claimed after so many seconds.

        Longer when it was put off lately already. why() shows code and reason.
        """
        ...

    async def still_held(self, lease: Lease) -> bool:
        """Ask whether the lease is good at this moment; False also when the task was cancelled."""
        ...


class Effects(Protocol):
    """The ledger of changes in the outside world."""

    async def intend(self, lease: Lease, kind: str, key: str, request: Json) -> EffectRecord | None:
        """Commit the intention, or give what is already known of it; None when lease is lost."""
        ...

    async def confirm(self, lease: Lease, effect_id: int, result: Json) -> bool:
        """Record that the effect was found in the outside world."""
        ...


class Purse(Protocol):
    """Reserve before, settle after."""

    async def reserve(self, lease: Lease, call: Reservation) -> UUID:
        """Reserve on every purse that applies; raises BudgetExhausted naming one, LeaseLost."""
        ...

    async def open_landing(self, lease: Lease, call: Reservation) -> UUID:
        """Take what was set aside for the landing turn; BudgetExhausted if that is too little."""
        ...

    async def take_rate(self, model: str, terms: Terms, tokens: int) -> float:
        """Take a call from the fleet's rates of a model: 0, or the seconds until there is room."""
        ...

    async def give_rate(self, model: str, terms: Terms, unused: int) -> None:
        """Give back the tokens that a call took from the rates and did not use."""
        ...

    async def settle(self, call: UUID, usd: Decimal, facts: Json) -> None:
        """Replace the reservation by the real price; `facts` has tokens, stop reason, latency."""
        ...


class Knowledge(Protocol):
    """What roles read and write besides the task itself."""

    async def propose_tasks(self, lease: Lease, tasks: Sequence[ProposedTask]) -> Sequence[TaskId]:
        """Create the tasks of a plan; a repeat gives the ones that exist already.

        Raises LawRefused with the reason: too many, a cycle, a type that nobody handles.
        """
        ...

    async def goal(self, lease: Lease) -> Goal | None:
        """Give the goal of the task, if it has one."""
        ...

    async def reported_merge(self, lease: Lease) -> Json | None:
        """Give {worker, login, said} of a merge that the attempt has to verify, not to make."""
        ...

    async def goal_story(self, lease: Lease) -> Json:
        """Give the tasks of the goal with their ends and errors, for a new plan."""
        ...

    async def recall(self, task: Task, limit: int) -> Sequence[Learning]:
        """Give learnings that fit a task, and count their use."""
        ...

    async def handoff(self, task: Task) -> Json | None:
        """Give the newest hand-off note of a task: {note, reason, diff, ...}, or None."""
        ...

    async def spent(self, task: Task) -> Json:
        """Give {usd, tokens, calls}: what the model calls of a task cost so far."""
        ...

    async def metrics(self, hours: int) -> Json:
        """Give counts, rates, trends and failure patterns, each with the rows it rests on."""
        ...

    async def save_report(self, lease: Lease, title: str, body: str, facts: Json) -> int:
        """Store a report; a repeat in the same attempt gives the same id."""
        ...

    async def save_recommendations(self, lease: Lease, rows: Sequence[Json]) -> Sequence[int]:
        """Store proposals {kind, title, rationale, facts} for a person to accept or decline."""
        ...


class Duties(Protocol):
    """Model-free work that keeps the swarm going; safe to run from any number of processes."""

    async def sweep(self) -> Json:
        """Take back expired leases, mark stale workers, promote due tasks; gives counts."""
        ...

    async def detect(self) -> Json:
        """Raise and resolve alerts; gives counts per kind."""
        ...

    async def settle_goals(self) -> Json:
        """Close finished goals with evidence, ask for one new plan where a task failed."""
        ...

    async def awaiting_merge(self) -> Sequence[Json]:
        """Give the reported merges that the forge has not confirmed: {id, fence, repo}."""
        ...

    async def confirm_merge(self, task: TaskId, fence: int, state: str, shown: str) -> str | None:
        """Say what the forge shows (merged, closed, open or none); gives the new status."""
        ...

    async def due_schedules(self) -> Sequence[Json]:
        """Give the schedules that are due: {name, cron, time_zone, scheduled_at}."""
        ...

    async def fire_schedule(self, name: str, scheduled_at: str, next_at: str | None) -> bool:
        """Create the task of a schedule once; `next_at` None disables it with an alert."""
        ...


class Store(Fleet, Queue, Attempts, Effects, Purse, Knowledge, Duties, PullWork, Watches, Protocol):
    """Everything that PostgreSQL does for the lifecycle."""
