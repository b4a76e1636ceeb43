"""Claiming ahead: only while attempts are briefer than a claim, and never as a theft."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from uuid import uuid4

import pytest

from juggernaut.domain import limits
from juggernaut.domain.model import Claim, Session, SessionId, WorkerId
from juggernaut.runtime.heartbeat import Progress
from juggernaut.runtime.loop import ClaimLoop
from tests.runtime.fake_store import FakeStore, make_claim
from tests.runtime.turned_clock import TurnedClock, settle

SLOTS = 4
TRIP_SECONDS = 0.010
WRITE_SECONDS = 0.020


class Bench:
    """A loop over a store whose claims take a while, and attempts as long as the test says."""

    def __init__(self, work_seconds: float) -> None:
        """Start idle."""
        self.clock, self.store = TurnedClock(), FakeStore()
        self.store.trip = partial(self.clock.sleep, TRIP_SECONDS)
        self.work_seconds, self.write_seconds = work_seconds, WRITE_SECONDS
        self.at_work = self.most_at_work = self.done = self.filled = 0
        self.begun: list[Claim] = []
        name = WorkerId("executor-1")
        session = Session(SessionId(uuid4()), uuid4(), name, "executor", ("command",))
        self.stopping, self.wake = asyncio.Event(), asyncio.Event()
        self.loop = ClaimLoop(
            queue=self.store.as_store(),
            session=session,
            clock=self.clock,
            progress=Progress(self.clock),
            attempt=self.attempt,
            stopping=self.stopping,
            wake=self.wake,
            slots=SLOTS,
            poll_seconds=5.0,
            drain_seconds=1.0,
        )

    async def attempt(self, claim: Claim, hand_in: Callable[[], None]) -> str:
        """Work, hand in, and wait until it is written."""
        self.begun.append(claim)
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            await self.clock.sleep(self.work_seconds)
        finally:
            self.at_work -= 1
        hand_in()
        await self.clock.sleep(self.write_seconds)
        self.done += 1
        return "completed"

    def fill(self, count: int) -> None:
        """Put tasks into the queue."""
        self.store.ready.extend(make_claim() for _ in range(count))
        self.filled += count

    @property
    def held(self) -> int:
        """Give how many tasks were taken out of the queue, and neither ended nor given back."""
        return self.filled - len(self.store.ready) - self.done - len(self.store.released)

    async def stop(self, running: asyncio.Future[None]) -> None:
        """End the loop."""
        self.stopping.set()
        self.wake.set()
        await self.clock.turn(10)
        await running


@pytest.mark.parametrize("work_seconds", [2 * TRIP_SECONDS, 1.0])
async def test_nothing_is_fetched_ahead_of_longer_work(work_seconds: float) -> None:
    """No claim asks for more than the free slots, however long the queue is."""
    bench = Bench(work_seconds)
    bench.fill(200)
    running = asyncio.ensure_future(bench.loop.run())
    await bench.clock.turn(30)
    assert bench.done > limits.AHEAD_SAMPLES
    assert max(bench.store.slots_asked) == SLOTS
    await bench.stop(running)


async def test_brief_work_is_fetched_ahead_and_no_slot_is_added() -> None:
    """More is claimed than can begin, and still only so many are at work at once."""
    bench = Bench(work_seconds=0.001)
    bench.fill(2_000)
    running = asyncio.ensure_future(bench.loop.run())
    await bench.clock.turn(0.5)
    assert max(bench.store.slots_asked) > SLOTS
    assert bench.most_at_work == SLOTS
    assert bench.held <= SLOTS + limits.AHEAD_MOST
    await bench.stop(running)


async def test_what_is_handed_in_and_not_yet_written_is_bounded() -> None:
    """A database that writes slowly is not drowned."""
    bench = Bench(work_seconds=0.001)
    bench.fill(2_000)
    running = asyncio.ensure_future(bench.loop.run())
    await bench.clock.turn(0.2)
    bench.write_seconds = 60.0
    await bench.clock.turn(30)
    assert bench.held == SLOTS + limits.AHEAD_MOST
    running.cancel()
    await bench.clock.turn(1)
    await asyncio.gather(running, return_exceptions=True)


async def test_a_slot_is_free_when_the_work_is_handed_in() -> None:
    """The last write is waited for by nobody else."""
    bench = Bench(work_seconds=0.05)
    bench.fill(40)
    running = asyncio.ensure_future(bench.loop.run())
    # Forty tasks, four at a time: ten rounds of 50 ms, and not of 70.
    await bench.clock.turn(40 / SLOTS * (0.05 + TRIP_SECONDS))
    assert len(bench.begun) == 40
    await bench.stop(running)


async def test_what_waits_too_long_for_a_hand_goes_back() -> None:
    """The work turned long: others may have what was fetched; it never began here."""
    bench = Bench(work_seconds=0.001)
    bench.fill(500)
    running = asyncio.ensure_future(bench.loop.run())
    await bench.clock.turn(0.2)
    bench.work_seconds = 3_600.0
    await bench.clock.turn(2 * limits.AHEAD_SECONDS)
    assert bench.store.released
    begun = {claim.task.id for claim in bench.begun}
    assert not begun & {lease.task_id for lease in bench.store.released}
    assert bench.held == SLOTS
    asked = len(bench.store.slots_asked)
    await bench.clock.turn(60)
    assert len(bench.store.slots_asked) == asked, "hands are full and nothing may be fetched"
    running.cancel()
    await bench.clock.turn(1)
    await asyncio.gather(running, return_exceptions=True)


async def test_the_stop_gives_back_what_was_not_begun() -> None:
    """Nothing is begun any more, and each task that waited is given back before the loop ends."""
    bench = Bench(work_seconds=0.001)
    bench.fill(500)
    running = asyncio.ensure_future(bench.loop.run())
    await bench.clock.turn(0.2)
    bench.work_seconds = 0.3
    await bench.clock.turn(0.1)
    bench.stopping.set()
    bench.wake.set()
    await settle()
    begun = len(bench.begun)
    await bench.clock.turn(10)
    await running
    assert len(bench.begun) == begun
    assert bench.store.released
    assert bench.held == 0


async def test_a_task_that_cannot_be_given_back_stops_nothing() -> None:
    """The sweep finds it when the session is over."""
    bench = Bench(work_seconds=0.001)
    bench.fill(500)
    running = asyncio.ensure_future(bench.loop.run())
    await bench.clock.turn(0.2)
    bench.store.down = True
    await bench.stop(running)
    assert not bench.store.released


async def test_a_cancelled_loop_begins_nothing_more() -> None:
    """Its session may be lost: the slots that cancelled attempts free stay free."""
    bench = Bench(work_seconds=0.001)
    bench.fill(500)
    running = asyncio.ensure_future(bench.loop.run())
    await bench.clock.turn(0.2)
    bench.work_seconds = 3_600.0
    await bench.clock.turn(0.1)
    begun = len(bench.begun)
    running.cancel()
    await bench.clock.turn(1)
    await asyncio.gather(running, return_exceptions=True)
    assert len(bench.begun) == begun
    assert bench.store.released
