"""The Store port over PostgreSQL: every write is one call of a versioned database function."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import asyncpg

from juggernaut.adapters.postgres import records
from juggernaut.adapters.postgres.completer import Completer
from juggernaut.adapters.postgres.fetcher import Fetcher
from juggernaut.adapters.postgres.store_life import PgLife
from juggernaut.domain.errors import JuggernautError, LawRefused, LeaseLost
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
    SessionId,
    Task,
    TaskId,
    WorkerId,
)
from juggernaut.domain.purse import Reservation

RECALL_CHARS = 4_000
REASON_CHARS = 500
UNREADABLE_OWNER = "a person: mend what the task says, then retry_task, or cancel_task"


class PgStore(PgLife):
    """Everything that PostgreSQL does for the lifecycle."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], *, pooled: bool = False) -> None:
        """Use a pool that somebody else closes; its login is a worker's.

        pooled: the address is a PgBouncer's in transaction mode.
        """
        super().__init__(pool)
        self._fetcher = Fetcher(pool, prepares=not pooled)
        self._completer = Completer(pool)

    # Fleet ------------------------------------------------------------------------------------

    async def open_session(
        self, worker_id: WorkerId, worker_type: str, handles: tuple[str, ...], meta: Json
    ) -> Session:
        """Register a start of a worker."""
        declared = {**meta, "capabilities": list(handles)}
        row = (await self._rows("open_session", worker_id, worker_type, declared))[0]
        return Session(
            id=SessionId(row["session"]),
            secret=row["secret"],
            worker_id=worker_id,
            worker_type=worker_type,
            handles=handles,
        )

    async def beat(self, session: Session, status: str, task: TaskId | None) -> bool:
        """Renew the session; False when it is gone."""
        return await self._landed("beat_session", session.id, session.secret, status, task)

    async def close_session(self, session: Session) -> None:
        """Write `offline` and end the session."""
        await self._rows("close_session", session.id, session.secret)

    async def thresholds(self) -> Mapping[str, float]:
        """Give the table juggernaut.thresholds."""
        return {row["name"]: row["value"] for row in await self._rows("read_thresholds")}

    async def risk_floors(self) -> Mapping[str, Risk]:
        """Give the least risk of each task type."""
        rows = await self._rows("read_risk_floors")
        return {row["task_type"]: Risk(row["risk_floor"]) for row in rows}

    # Queue ------------------------------------------------------------------------------------

    async def claim(self, session: Session, slots: int) -> Sequence[Claim]:
        """Claim up to `slots` tasks, the most urgent first."""
        sent = time.monotonic()
        try:
            rows = await self._fetcher.claim(session.id, session.secret, slots)
        except LawRefused as error:
            if isinstance(error.__cause__, asyncpg.UniqueViolationError):
                return ()  # another claimer took the same concurrency_key in this moment
            raise
        claims: list[Claim] = []
        for row in rows:
            try:
                claims.append(records.claim_of(row, sent))
            except records.UNREADABLE as error:
                await self._set_aside(records.lease_of(row, sent), error)
        return tuple(claims)

    async def _set_aside(self, lease: Lease, error: Exception) -> None:
        """Block a claimed task that this program cannot read; the others of its claim go on."""
        reason = f"this program cannot read the task: {type(error).__name__}: {error}"
        with suppress(JuggernautError, LeaseLost):  # then its lease runs out
            await self.block(lease, reason[:REASON_CHARS], UNREADABLE_OWNER)

    async def idle(self, session: Session, waiting: bool) -> None:
        """Say that this worker sleeps and wants a NOTIFY, or no longer does."""
        await self._rows("announce_idle", session.id, waiting)

    # Attempts ---------------------------------------------------------------------------------

    async def pass_gate(self, lease: Lease, gate: Gate, plan: Plan) -> Decision | None:
        """Record a plan or diff and ask whether it may go on."""
        rows = await self._rows(
            "pass_gate",
            lease.task_id,
            lease.fence,
            lease.secret,
            gate.value,
            plan.digest,
            dict(plan.body),
            plan.risk.value,
            list(plan.factors),
        )
        return Decision(go=rows[0]["go"], reason=rows[0]["reason"]) if rows else None

    async def log(self, lease: Lease, entry: LogEntry) -> bool:
        """Append to execution_logs."""
        error = None if entry.error is None else dict(entry.error)
        return await self._held(
            "write_log",
            lease,
            entry.action,
            entry.level,
            entry.message,
            dict(entry.metadata),
            error,
        )

    async def complete(self, lease: Lease, completion: Completion) -> bool:
        """Write evidence, verdicts, learning and `completed` in one transaction."""
        return await self._completer.complete(lease, completion)

    async def fail(
        self, lease: Lease, code: str, message: str, *, retry_after: float | None
    ) -> str | None:
        """End the attempt; gives the new status, or None when the lease was lost."""
        wait = None if retry_after is None else Decimal(str(round(retry_after, 3)))
        rows = await self._rows(
            "fail_task", lease.task_id, lease.fence, lease.secret, code, message, wait
        )
        status: str | None = rows[0]["status"]
        return status

    async def block(self, lease: Lease, reason: str, owner: str) -> bool:
        """Park the task as `blocked`."""
        return await self._held("block_task", lease, reason, owner)

    async def release(self, lease: Lease, reason: str) -> bool:
        """Give the task back without counting an attempt."""
        return await self._held("release_task", lease, reason)

    async def put_off(self, lease: Lease, code: str, reason: str, seconds: float) -> bool:
        """Give the task back without counting an attempt, for a while; why() shows the reason."""
        return await self._held("put_off_task", lease, code, reason, Decimal(str(seconds)))

    async def still_held(self, lease: Lease) -> bool:
        """Ask whether the lease is good at this moment."""
        return await self._held("check_lease", lease)

    # Effects and purse ------------------------------------------------------------------------

    async def intend(self, lease: Lease, kind: str, key: str, request: Json) -> EffectRecord | None:
        """Commit the intention, or give what is already known of it."""
        rows = await self._rows(
            "intend_effect", lease.task_id, lease.fence, lease.secret, kind, key, dict(request)
        )
        return records.effect_of(rows[0]) if rows else None

    async def confirm(self, lease: Lease, effect_id: int, result: Json) -> bool:
        """Record that the effect was found in the outside world."""
        return await self._held("confirm_effect", lease, effect_id, dict(result))

    async def reserve(self, lease: Lease, call: Reservation) -> UUID:
        """Reserve the most that a call may cost on every purse that applies."""
        rows = await self._rows(
            "reserve_call",
            lease.task_id,
            lease.fence,
            lease.secret,
            call.model,
            call.purpose,
            call.digest,
            call.most.usd,
            call.most.tokens,
            call.landing and call.landing.usd,
            call.landing and call.landing.tokens,
        )
        made: UUID = rows[0]["call"]
        return made

    async def open_landing(self, lease: Lease, call: Reservation) -> UUID:
        """Take what was set aside for the landing turn."""
        place = (lease.task_id, lease.fence, lease.secret)
        asked = (call.digest, call.most.usd, call.most.tokens)
        made: UUID = (await self._rows("open_landing", *place, *asked))[0]["call"]
        return made

    async def take_rate(self, model: str, terms: Terms, tokens: int) -> float:
        """Take a call from the fleet's rates of a model."""
        rates = (terms.requests_per_minute, terms.tokens_per_minute)
        return float((await self._rows("take_rate", model, *rates, tokens))[0]["seconds"])

    async def give_rate(self, model: str, terms: Terms, unused: int) -> None:
        """Give back what a call did not use."""
        await self._rows("give_rate", model, terms.tokens_per_minute, unused)

    async def settle(self, call: UUID, usd: Decimal, facts: Json) -> None:
        """Replace the reservation by the real price."""
        await self._rows("settle_call", call, usd, dict(facts))

    # Knowledge --------------------------------------------------------------------------------

    async def propose_tasks(self, lease: Lease, tasks: Sequence[ProposedTask]) -> Sequence[TaskId]:
        """Create the tasks of a plan; a repeat gives the ones that exist already."""
        rows = await self._rows(
            "propose_tasks",
            lease.task_id,
            lease.fence,
            lease.secret,
            [records.proposal_json(task) for task in tasks],
        )
        return tuple(TaskId(row["id"]) for row in rows)

    async def goal(self, lease: Lease) -> Goal | None:
        """Give the goal of the task, if it has one."""
        rows = await self._rows("read_goal", lease.task_id, lease.fence, lease.secret)
        return records.goal_of(rows[0]) if rows else None

    async def reported_merge(self, lease: Lease) -> Json | None:
        """Give who reported the merge that this attempt has to verify, if it has to."""
        rows = await self._rows("read_reported_merge", lease.task_id, lease.fence, lease.secret)
        return dict(rows[0]) if rows else None

    async def goal_story(self, lease: Lease) -> Json:
        """Give the tasks of the goal with their ends and errors."""
        rows = await self._rows("read_goal_story", lease.task_id, lease.fence, lease.secret)
        story: Json = rows[0]["story"]
        return story

    async def recall(self, task: Task, limit: int) -> Sequence[Learning]:
        """Give learnings that fit a task, and count their use."""
        text = f"{task.title} {task.description}"[:RECALL_CHARS]
        rows = await self._rows("recall_learnings", text, task.repo, limit)
        return tuple(records.learning_of(row) for row in rows)

    async def handoff(self, task: Task) -> Json | None:
        """Give the newest hand-off note of a task."""
        rows = await self._rows("read_handoff", task.id)
        return {**rows[0]["metadata"], "note": rows[0]["message"]} if rows else None

    async def spent(self, task: Task) -> Json:
        """Give what the model calls of a task cost so far."""
        return dict((await self._rows("read_task_cost", task.id))[0])

    async def metrics(self, hours: int) -> Json:
        """Give counts, rates, trends and failure patterns with the rows they rest on."""
        metrics: Json = (await self._rows("read_metrics", hours))[0]["metrics"]
        return metrics

    async def save_report(self, lease: Lease, title: str, body: str, facts: Json) -> int:
        """Store a report; a repeat in the same attempt gives the same id."""
        rows = await self._rows(
            "save_report", lease.task_id, lease.fence, lease.secret, title, body, dict(facts)
        )
        return int(rows[0]["id"])

    async def save_recommendations(self, lease: Lease, rows: Sequence[Json]) -> Sequence[int]:
        """Store proposals for a person to accept or decline."""
        saved = await self._rows(
            "save_recommendations",
            lease.task_id,
            lease.fence,
            lease.secret,
            [dict(row) for row in rows],
        )
        return tuple(int(row["id"]) for row in saved)

    # Duties -----------------------------------------------------------------------------------

    async def sweep(self) -> Json:
        """Take back expired leases, mark stale workers, promote due tasks, seal the audit."""
        counts: Json = (await self._rows("sweep_swarm"))[0]["counts"]
        return counts

    async def detect(self) -> Json:
        """Raise and resolve alerts."""
        counts: Json = (await self._rows("detect_alerts"))[0]["counts"]
        return counts

    async def settle_goals(self) -> Json:
        """Close finished goals, ask for one new plan where a task failed for good."""
        counts: Json = (await self._rows("settle_goals"))[0]["counts"]
        return counts

    async def awaiting_merge(self) -> Sequence[Json]:
        """Give the reported merges that the forge has not confirmed."""
        return tuple(dict(row) for row in await self._rows("list_awaiting_merge"))

    async def confirm_merge(self, task: TaskId, fence: int, state: str, shown: str) -> str | None:
        """Say what the forge shows of a reported merge; gives the new status."""
        status: str | None = (await self._rows("confirm_merge", task, fence, state, shown))[0][0]
        return status

    async def due_schedules(self) -> Sequence[Json]:
        """Give the schedules that are due."""
        return tuple(
            {**dict(row), "scheduled_at": row["scheduled_at"].isoformat()}
            for row in await self._rows("list_due_schedules")
        )

    async def fire_schedule(self, name: str, scheduled_at: str, next_at: str | None) -> bool:
        """Create the task of a schedule once; `next_at` None disables it with an alert."""
        return await self._landed(
            "fire_schedule",
            name,
            datetime.fromisoformat(scheduled_at),
            None if next_at is None else datetime.fromisoformat(next_at),
        )
