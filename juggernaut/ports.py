"""The seams of Juggernaut: what the lifecycle needs from the outside, as small Protocols.

Each port has one conformance suite in tests/ports that every implementation passes. Methods
that write for an attempt take its Lease; their answer says whether the write landed, and False
means that the lease is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Protocol
from uuid import UUID

from juggernaut.domain.model import (
    AgentRequest,
    AgentResult,
    Change,
    Claim,
    CommandResult,
    Completion,
    Decision,
    EffectRecord,
    Gate,
    Goal,
    Json,
    Learning,
    Lease,
    LogEntry,
    ModelReply,
    ModelRequest,
    Plan,
    ProposedTask,
    Pull,
    Risk,
    Session,
    Sha,
    Task,
    TaskId,
    WorkerId,
)
from juggernaut.domain.purse import Reservation


class Clock(Protocol):
    """Time as this process may use it: never for safety, only for pacing."""

    def monotonic(self) -> float:
        """Give seconds of a clock that never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


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

    async def release(self, lease: Lease, reason: str) -> bool:
        """Give the task back without counting an attempt."""
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


class Store(Fleet, Queue, Attempts, Effects, Purse, Knowledge, Duties, Protocol):
    """Everything that PostgreSQL does for the lifecycle."""


class LanguageModel(Protocol):
    """One model behind one provider; a call is one request, without retries of its own."""

    @property
    def name(self) -> str:
        """Give provider/model, as it stands in the ledger."""
        ...

    def max_price(self, request: ModelRequest) -> Decimal:
        """Give an upper bound of the price in US dollars; raises UnknownPrice."""
        ...

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Ask. Raises ModelUnavailable, ModelRefused or ModelGarbled."""
        ...


class Models(Protocol):
    """The models of this process."""

    def for_purpose(self, purpose: str) -> LanguageModel:
        """Give the model that answers for a purpose: plan, code, report, ..."""
        ...


class Asker(Protocol):
    """A budgeted model call, as the lifecycle hands it to a code agent."""

    async def __call__(self, request: ModelRequest) -> ModelReply:
        """Reserve, ask, settle; raises BudgetExhausted besides the model's errors."""
        ...


class Sandbox(Protocol):
    """Where commands of untrusted origin run."""

    @property
    def level(self) -> str:
        """Give the strength: bubblewrap, landlock or bare."""
        ...

    async def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        *,
        timeout_seconds: float,
        writable: Sequence[Path] = (),
    ) -> CommandResult:
        """Run argv with a built environment; the process group is dead when this returns.

        A command that cannot be started ends with exit code 127 and the reason as output.
        `cwd` is always writable.
        """
        ...


class CodeAgent(Protocol):
    """What turns a prompt and a work tree into a change of that tree."""

    @property
    def name(self) -> str:
        """Give the name that stands in evidence and logs."""
        ...

    async def execute(self, request: AgentRequest, ask: Asker, sandbox: Sandbox) -> AgentResult:
        """Work until finished or out of turns; cancellation leaves no process behind."""
        ...


class Workspace(Protocol):
    """A work tree on a task's branch, under a control directory outside it."""

    @property
    def path(self) -> Path:
        """Give the work tree; it holds no .git directory that anyone obeys."""
        ...

    @property
    def base(self) -> Sha:
        """Give the commit of the default branch that the branch started from."""
        ...

    async def commit(self, message: str) -> Change | None:
        """Commit all that changed since base as one commit; None when nothing did.

        Refuses (InvalidInput) what a diff may not hold: links out of the tree, git internals,
        too many files or bytes.
        """
        ...

    async def push(self, change: Change, expected: Sha | None) -> None:
        """Push to the branch, from exactly `expected` (None: it must not exist)."""
        ...

    async def landed(self) -> Change:
        """Measure the commit that is checked out against its first parent."""
        ...

    async def close(self) -> None:
        """Remove the work tree; a second call does nothing."""
        ...


class Workspaces(Protocol):
    """Work trees of one repository."""

    async def open(self, repo: str, branch: str, attempt: str) -> Workspace:
        """Open a fresh work tree at the head of the default branch for `branch`."""
        ...

    async def checkout(self, repo: str, sha: Sha | None, attempt: str) -> Workspace:
        """Open a fresh work tree of exactly this commit (None: default branch's head)."""
        ...

    async def sweep(self, alive: Sequence[str]) -> int:
        """Remove work trees whose attempt is not alive any more; gives their number."""
        ...


class Forge(Protocol):
    """Where repositories and pull requests live."""

    @property
    def name(self) -> str:
        """Give the kind: local or github."""
        ...

    async def branch_head(self, repo: str, branch: str | None) -> Sha | None:
        """Give the head of a branch (None: the default branch), or None if it is not there."""
        ...

    async def find_pull(self, repo: str, head_branch: str) -> Pull | None:
        """Give the newest pull request of a branch, whatever its state."""
        ...

    async def open_pull(self, repo: str, head_branch: str, title: str, body: str) -> Pull:
        """Open a pull request; an open one of that branch is given back instead.

        Raises NothingToMerge when the base contains the head.
        """
        ...

    async def post_check(self, repo: str, sha: Sha, name: str, passed: bool, text: str) -> None:
        """Record the result of a named check at a commit; a repeat replaces it."""
        ...

    async def merge(self, repo: str, number: int, expected: Sha, title: str, body: str) -> Pull:
        """Squash-merge if the head is `expected` and the required checks passed there.

        Raises HeadMoved, PullConflict, ForgeError (check missing or red, pull closed). A pull
        that was merged already at this head is given back as it is.
        """
        ...
