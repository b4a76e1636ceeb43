"""One supervisor per process: a child that falls is started again, alone (one_for_one).

A child that returns is finished. A child that raises is restarted after a growing wait. One that
falls too often, or says that no restart can help, stops the process: the others drain, and the
process ends non-zero, so that the platform notices.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from juggernaut.domain import limits
from juggernaut.domain.errors import AttemptStopped, JuggernautError
from juggernaut.ports import Clock
from juggernaut.runtime.pause import backoff, pause

log = structlog.get_logger(__name__)


class FatalLoss(JuggernautError):
    """No restart inside this process can help; the process ends non-zero."""

    code = "fatal_loss"


@dataclass(frozen=True, slots=True)
class Child:
    """Something to keep running: `run` is called anew at every start."""

    name: str
    run: Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Record:
    """How often a child fell: in all, and when within the window."""

    restarts: int = 0
    falls: deque[float] = field(default_factory=deque)

    def fell(self, now: float) -> int:
        """Note a fall; give the number of falls within the window."""
        self.restarts += 1
        self.falls.append(now)
        while self.falls and now - self.falls[0] > limits.RESTART_WINDOW_SECONDS:
            self.falls.popleft()
        return len(self.falls)


class Supervisor:
    """Keeps children running until `stopping` is set."""

    def __init__(
        self, clock: Clock, stopping: asyncio.Event, stop: Callable[[], None] | None = None
    ) -> None:
        """Start nothing yet; `stop` asks everybody to drain (by default it sets `stopping`)."""
        self._clock = clock
        self._stopping = stopping
        self._stop = stop or stopping.set
        self._fatal: FatalLoss | None = None
        self.records: dict[str, Record] = {}

    async def run(self, children: Sequence[Child], helpers: Sequence[Child] = ()) -> None:
        """Run until every child has returned; helpers end with the last child.

        Raises FatalLoss when a child or helper cannot be kept up.
        """
        async with asyncio.TaskGroup() as group:
            aides = [group.create_task(self._keep(one), name=one.name) for one in helpers]
            tasks = [group.create_task(self._keep(one), name=one.name) for one in children]
            if tasks:
                await asyncio.wait(tasks)
            for aide in aides:
                aide.cancel()
        if self._fatal is not None:
            raise self._fatal

    async def _keep(self, child: Child) -> None:
        """Run one child, again after each fall."""
        record = self.records.setdefault(child.name, Record())
        while True:
            fall = await attempt_safely(child.run())
            if fall is None:
                return
            cause = root_cause(fall)
            falls = record.fell(self._clock.monotonic())
            log.error(
                "child fell",
                child=child.name,
                error=describe(cause),
                restarts=record.restarts,
                falls_in_window=falls,
                exc_info=None if isinstance(cause, JuggernautError) else fall,
            )
            if isinstance(cause, FatalLoss):
                self._give_up(cause)
                return
            if falls > limits.RESTARTS_MAX:
                self._give_up(
                    FatalLoss(
                        f"{child.name} fell {falls} times in"
                        f" {limits.RESTART_WINDOW_SECONDS:.0f} s, last with {describe(cause)}"
                    )
                )
                return
            if await pause(self._clock, backoff(falls), self._stopping):
                return

    def _give_up(self, loss: FatalLoss) -> None:
        """Let the other children drain; the first loss is the one reported."""
        self._fatal = self._fatal or loss
        self._stop()


async def attempt_safely(work: Awaitable[object]) -> BaseException | None:
    """Run work and give what ended it, cancellation apart: the one place that catches all."""
    try:
        await work
    except (Exception, AttemptStopped) as fall:  # noqa: BLE001 - the caller logs and restarts
        return fall
    return None


def root_cause(fall: BaseException) -> BaseException:
    """Give the first plain exception inside nested groups."""
    while isinstance(fall, BaseExceptionGroup):
        fall = fall.exceptions[0]
    return fall


def describe(error: BaseException) -> str:
    """Give an exception as one line with its kind."""
    return f"{type(error).__name__}: {error}"[: limits.EXCERPT_CHARS]
