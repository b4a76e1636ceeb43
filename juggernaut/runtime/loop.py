"""The claim loop of one worker: wait, claim, attempt.

A NOTIFY is a hint, polling is the truth. Before it sleeps the worker asks for a hint and claims
once more, so that work which came in between is not slept over. Stopping means: no new claims,
what was not begun goes back, what runs may finish for a while, the rest is cancelled and goes back
unburned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from juggernaut.domain import limits
from juggernaut.domain.errors import DatabaseUnreachable, JuggernautError
from juggernaut.domain.model import Claim, Lease, Session
from juggernaut.lifecycle.claim import claim
from juggernaut.ports import Clock, Queue
from juggernaut.runtime.hands import Attempt, Hands
from juggernaut.runtime.heartbeat import Load, Progress
from juggernaut.runtime.pause import backoff, jittered, pause
from juggernaut.runtime.supervisor import describe

log = structlog.get_logger(__name__)

# What a claim may come to, other than the end of the session.
_BROKEN = (
    *(JuggernautError, OSError, ArithmeticError, LookupError),
    *(TypeError, ValueError, RecursionError),
)


@dataclass(slots=True)
class ClaimLoop:
    """Claims for one session; `wake` is set by hints, by finished attempts and by stopping."""

    queue: Queue
    session: Session
    clock: Clock
    progress: Progress
    attempt: Attempt
    stopping: asyncio.Event
    wake: asyncio.Event
    slots: int
    poll_seconds: float
    drain_seconds: float
    _hands: Hands = field(init=False)
    _announced: bool = False
    _naps: list[float] = field(default_factory=lambda: list(limits.HINT_NAPS_SECONDS))
    _quiet_polls: int = 0
    _failures: int = 0

    def __post_init__(self) -> None:
        """Have the hands of this session."""
        name, slots = self.session.worker_id, self.slots
        self._hands = Hands(name, self.attempt, self.clock, slots, self.wake.set)

    def load(self) -> Load:
        """Say what the worker does at this moment."""
        return self._hands.load()

    async def run(self, *, once: bool = False) -> None:
        """Claim and attempt until stopped, then drain; `once` stops when nothing is left."""
        try:
            while not self.stopping.is_set():
                self.progress.mark()
                self.wake.clear()
                if not await self._turn(once=once):
                    break
            await self._drain()
        finally:
            await self._cancel_running("the worker stops")

    async def _turn(self, *, once: bool) -> bool:
        """Fill the free slots, then wait; False when `once` and nothing is left to do."""
        await self._give_back(self._hands.give_up(limits.AHEAD_SECONDS), "it waited for a hand")
        wanted = self._hands.wanted()
        if wanted == 0:
            await self._sleep(self.poll_seconds)
            return True
        claims = await self._claim(wanted)
        if claims is None:
            await self._sleep(backoff(self._failures))
            return True
        self._hands.take(claims)
        await asyncio.sleep(0)  # what was claimed begins before this loop lies down again
        if len(claims) == wanted:
            self._announced = False  # hands full: that ended the request for a hint
            return True
        if once:
            return await self._wait_for_running()
        if self._hands.free == 0:
            await self._sleep(self.poll_seconds)
        elif await self._ask_for_hint():
            await self._sleep(jittered(self._nap()))
        return True

    async def _claim(self, wanted: int) -> Sequence[Claim] | None:
        """Claim up to so many tasks; None when the database did not answer.

        Any other error ends the loop, but not the attempts that run: it is tried again meanwhile.
        """
        sent = self.clock.monotonic()
        try:
            claims = await claim(self.queue, self.session, wanted)
        except _BROKEN as error:
            outage = isinstance(error, DatabaseUnreachable | OSError)
            if not outage and not self._hands.running:
                raise
            self._failures += 1
            self._announced = False
            if self._failures == 1 or not outage:
                log.warning("claim failed", worker=self.session.worker_id, error=describe(error))
            return None
        if self._failures:
            log.info("claiming again", worker=self.session.worker_id, failures=self._failures)
            self._failures = 0
        self._hands.ahead.fetched(self.clock.monotonic() - sent)
        return claims

    async def _ask_for_hint(self) -> bool:
        """Ask for a NOTIFY and say whether it is safe to sleep now.

        The request holds until the hands are full. It is repeated now and then: it may get lost.
        """
        self._quiet_polls += 1
        if self._announced and self._quiet_polls < limits.POLLS_PER_HINT_REQUEST:
            return True
        self._quiet_polls = 0
        try:
            await self.queue.idle(self.session, True)
        except (DatabaseUnreachable, OSError) as error:
            log.warning("no hint asked for", worker=self.session.worker_id, error=describe(error))
            return True
        fresh = not self._announced
        self._announced = True
        return not fresh

    def _nap(self) -> float:
        """Give the seconds to sleep: few at first after a hint was asked for, or was given.

        A transaction that was under way at that moment gave no hint of its own.
        """
        return min(self._naps.pop(0) if self._naps else self.poll_seconds, self.poll_seconds)

    async def _sleep(self, seconds: float) -> None:
        """Wait for a hint, a free slot or the stop, at most so many seconds."""
        if self._hands.holds:
            seconds = min(seconds, limits.AHEAD_SECONDS)
        if await pause(self.clock, seconds, self.wake):
            self._naps = list(limits.HINT_NAPS_SECONDS)

    async def _give_back(self, leases: Sequence[Lease], why: str) -> None:
        """Give tasks back that were not begun; what cannot be given back is found by the sweep."""
        for lease in leases:
            try:
                await self.queue.release(lease, why)
            except (JuggernautError, OSError) as error:
                name, task = self.session.worker_id, str(lease.task_id)
                log.warning("not given back", worker=name, task=task, error=describe(error))

    async def _wait_for_running(self) -> bool:
        """Wait until an attempt ends; False when none runs."""
        if not self._hands.running:
            return False
        await self._sleep(self.poll_seconds)
        return True

    async def _drain(self) -> None:
        """Give back what was not begun, and let running attempts finish for a while."""
        await self._give_back(self._hands.give_up(), "the worker stops")
        if not self._hands.running:
            return
        log.info("draining", worker=self.session.worker_id, running=len(self._hands.running))
        end = self.clock.monotonic() + self.drain_seconds
        while self._hands.running and (left := end - self.clock.monotonic()) > 0:
            self.progress.mark()
            self.wake.clear()
            await pause(self.clock, min(left, self.poll_seconds), self.wake)

    async def _cancel_running(self, why: str) -> None:
        """Cancel what still runs and wait until each attempt has given its task back."""
        # First: a slot that a cancelled attempt frees must begin nothing.
        waiting = self._hands.give_up()
        with suppress(TimeoutError):
            async with asyncio.timeout(limits.RELEASE_SECONDS):
                await self._give_back(waiting, why)
        running = self._hands.running
        if not running:
            return
        log.info("cancelling attempts", worker=self.session.worker_id, count=len(running), why=why)
        for task in running:
            task.cancel()
        _, stuck = await asyncio.wait(running, timeout=limits.RELEASE_SECONDS)
        if stuck:
            log.error("attempts did not stop", worker=self.session.worker_id, count=len(stuck))
