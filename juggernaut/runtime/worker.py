"""One worker: a session, its heartbeat, its claim loop and the duties of its role."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from juggernaut.domain import limits
from juggernaut.domain.errors import DatabaseUnreachable, SchemaDrift
from juggernaut.domain.model import Json, Session, WorkerId
from juggernaut.ports import Clock, Fleet, Store
from juggernaut.runtime.hands import Attempt
from juggernaut.runtime.heartbeat import Heartbeat, Progress
from juggernaut.runtime.loop import ClaimLoop
from juggernaut.runtime.pause import backoff, jittered, pause
from juggernaut.runtime.supervisor import FatalLoss, attempt_safely, describe, root_cause

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TimedDuty:
    """Model-free work that is due every so many seconds."""

    name: str
    every_seconds: float
    run: Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Pace:
    """The waits of a worker in seconds, as juggernaut.thresholds has them."""

    heartbeat: float
    session: float
    poll: float

    @classmethod
    def of(cls, thresholds: Mapping[str, float]) -> Pace:
        """Pick the waits; a missing one means that the schema is not ours."""
        try:
            return cls(
                heartbeat=thresholds["heartbeat_seconds"],
                session=thresholds["session_seconds"],
                poll=thresholds["poll_seconds"],
            )
        except KeyError as missing:
            raise SchemaDrift(
                f"juggernaut.thresholds has no row {missing}: run `juggernaut migrate`"
            ) from missing


@dataclass(slots=True)
class Worker:
    """A role at work; `run` is one life, from a new session to its end."""

    worker_id: WorkerId
    worker_type: str
    store: Store
    pulse: Fleet
    clock: Clock
    make_attempt: Callable[[Session], Attempt]
    stopping: asyncio.Event
    slots: int
    handles: tuple[str, ...]
    meta: Json
    duties: Callable[[Mapping[str, float]], Sequence[TimedDuty]]
    drain_seconds: float = limits.DRAIN_SECONDS
    once: bool = False
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def hint(self, task_type: str) -> None:
        """Wake up if this worker may do such work; an empty hint is for everybody."""
        if not task_type or task_type in self.handles:
            self._wake.set()

    def wake_up(self) -> None:
        """Look around: `stopping` was set."""
        self._wake.set()

    async def run(self) -> None:
        """Live one life. Raises SessionLost and whatever else makes a new life necessary."""
        opened = await self._open()
        if opened is None:
            return
        session, since, thresholds = opened
        try:
            await self._live(session, since, thresholds)
        finally:
            await self._close(session)

    async def _live(self, session: Session, since: float, thresholds: Mapping[str, float]) -> None:
        """Beat, do duties and claim until stopped."""
        pace = Pace.of(thresholds)
        progress = Progress(self.clock)
        loop = ClaimLoop(
            queue=self.store,
            session=session,
            clock=self.clock,
            progress=progress,
            attempt=self.make_attempt(session),
            stopping=self.stopping,
            wake=self._wake,
            slots=self.slots,
            poll_seconds=pace.poll,
            drain_seconds=self.drain_seconds,
        )
        heartbeat = Heartbeat(
            fleet=self.pulse,
            session=session,
            clock=self.clock,
            progress=progress,
            load=loop.load,
            beat_seconds=pace.heartbeat,
            session_seconds=pace.session,
            renewed=since,
        )
        duties = self.duties(thresholds)
        async with asyncio.TaskGroup() as group:
            aides = [group.create_task(heartbeat.run())]
            if self.once:
                for duty in duties:
                    progress.mark()
                    await self._do(duty, 0)
            else:
                aides += [group.create_task(self._keep(duty)) for duty in duties]
            await loop.run(once=self.once)
            for aide in aides:
                aide.cancel()

    async def _open(self) -> tuple[Session, float, Mapping[str, float]] | None:
        """Register, with patience; None when stopped before that.

        Gives the session, the monotonic time it counts from, and the thresholds. Raises FatalLoss
        when the database gave no answer for limits.RESTART_WINDOW_SECONDS.
        """
        began = self.clock.monotonic()
        failures = 0
        while not self.stopping.is_set():
            sent = self.clock.monotonic()
            try:
                session = await self.store.open_session(
                    self.worker_id, self.worker_type, self.handles, self.meta
                )
                thresholds = await self.store.thresholds()
            except (DatabaseUnreachable, OSError) as error:
                failures += 1
                self._judge_outage(failures, sent - began, error)
                await pause(self.clock, backoff(failures), self.stopping)
                continue
            log.info(
                "worker registered",
                worker=self.worker_id,
                worker_type=self.worker_type,
                handles=list(session.handles),
                slots=self.slots,
            )
            return session, sent, thresholds
        return None

    def _judge_outage(self, failures: int, seconds: float, error: BaseException) -> None:
        """Log the first failed registration; raise FatalLoss when it lasted too long."""
        if seconds > limits.RESTART_WINDOW_SECONDS:
            raise FatalLoss(
                f"worker {self.worker_id} could not register for {seconds:.0f} s: {error}"
            ) from error
        if failures == 1:
            log.warning("cannot register", worker=self.worker_id, error=describe(error))

    async def _close(self, session: Session) -> None:
        """Write `offline`, if the database answers soon."""
        failure = await attempt_safely(self._write_offline(session))
        if failure is None:
            log.info("worker offline", worker=self.worker_id)
        else:
            log.warning("offline not written", worker=self.worker_id, error=describe(failure))

    async def _write_offline(self, session: Session) -> None:
        """End the session within limits.CLOSE_SECONDS, or raise TimeoutError."""
        async with asyncio.timeout(limits.CLOSE_SECONDS):
            await self.store.close_session(session)

    async def _keep(self, duty: TimedDuty) -> None:
        """Do a duty at its interval for ever; a failing one never disturbs the worker."""
        failures = 0
        while True:
            failures = await self._do(duty, failures)
            await self.clock.sleep(jittered(duty.every_seconds))

    async def _do(self, duty: TimedDuty, failures: int) -> int:
        """Do a duty once; give the number of failures in a row, and log where it changes."""
        failure = await attempt_safely(duty.run())
        if failure is None:
            if failures:
                log.info("duty works again", worker=self.worker_id, duty=duty.name)
            return 0
        if failures == 0 or (failures + 1) % limits.DUTY_FAILURES_PER_LINE == 0:
            log.error(
                "duty failed",
                worker=self.worker_id,
                duty=duty.name,
                failures=failures + 1,
                error=describe(root_cause(failure)),
            )
        return failures + 1
