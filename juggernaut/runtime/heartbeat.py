"""The heartbeat of one worker session: a task and a database connection of its own.

It speaks for the claim loop, so it falls silent when that loop stalls. It counts the session's
life on the monotonic clock from before the last good beat was sent, so it gives up no later than
the database does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from juggernaut.domain import limits
from juggernaut.domain.errors import JuggernautError
from juggernaut.domain.model import Session, TaskId
from juggernaut.ports import Clock, Fleet
from juggernaut.runtime.pause import within

log = structlog.get_logger(__name__)

RETRY_FRACTION = 0.25  # after a failed beat, try again after this part of the usual wait


class SessionLost(JuggernautError):
    """The session is over or could not be renewed in time; its attempts are cancelled."""

    code = "session_lost"
    retryable = True


@dataclass(frozen=True, slots=True)
class Load:
    """What a worker does at this moment: `idle`, `active` (slots left) or `busy`."""

    status: str
    task: TaskId | None


class Progress:
    """The marker that a loop sets at every turn, so that others see it turn."""

    def __init__(self, clock: Clock) -> None:
        """Count from now."""
        self._clock = clock
        self._at = clock.monotonic()

    def mark(self) -> None:
        """Say that the loop turned."""
        self._at = self._clock.monotonic()

    def stalled(self) -> bool:
        """Say whether the loop has not turned for too long."""
        return self._clock.monotonic() - self._at > limits.STALL_SECONDS


@dataclass(slots=True)
class Heartbeat:
    """Beats for one session until cancelled; `renewed` is the monotonic time it counts from."""

    fleet: Fleet
    session: Session
    clock: Clock
    progress: Progress
    load: Callable[[], Load]
    beat_seconds: float
    session_seconds: float
    renewed: float

    async def run(self) -> None:
        """Beat. Raises SessionLost; returns never."""
        silent = False
        failures = 0
        while True:
            wait = self.beat_seconds
            if self.progress.stalled():
                if not silent:
                    log.error("claim loop stalled: heartbeat stops", worker=self.session.worker_id)
                silent = True
            else:
                silent = False
                failures = 0 if await self._beat(failures) else failures + 1
                if failures:
                    wait *= RETRY_FRACTION
            await self.clock.sleep(min(wait, max(0.0, self._left())))
            if self._left() <= 0:
                raise SessionLost(
                    f"worker {self.session.worker_id}: session not renewed for"
                    f" {self.session_seconds:.0f} s; it starts again with a new one"
                )

    def _left(self) -> float:
        """Give the seconds that the session surely has left."""
        return self.renewed + self.session_seconds - self.clock.monotonic()

    async def _beat(self, failures: int) -> bool:
        """Send one beat; say whether the session was renewed."""
        sent = self.clock.monotonic()
        load = self.load()
        try:
            alive = await within(
                self.clock,
                max(0.0, self._left()),
                self.fleet.beat(self.session, load.status, load.task),
            )
        except (JuggernautError, OSError) as error:
            if failures == 0:
                log.warning("heartbeat failed", worker=self.session.worker_id, error=str(error))
            return False
        if alive is None:
            return False
        if not alive:
            raise SessionLost(f"worker {self.session.worker_id}: the database ended its session")
        if failures:
            log.info("heartbeat is back", worker=self.session.worker_id, failures=failures)
        self.renewed = sent
        return True
