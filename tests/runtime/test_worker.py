"""A worker's life on a clock that the test turns: claims, hints, stops, losses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import pytest

from juggernaut.domain import limits
from juggernaut.domain.model import Claim, Session, WorkerId
from juggernaut.runtime.hands import Attempt
from juggernaut.runtime.heartbeat import SessionLost
from juggernaut.runtime.supervisor import FatalLoss, root_cause
from juggernaut.runtime.worker import TimedDuty, Worker
from tests.runtime.fake_store import FakeStore, make_claim
from tests.runtime.turned_clock import TurnedClock, settle


class Work:
    """Attempts that end when the test says so."""

    def __init__(self) -> None:
        """Start none."""
        self.started: list[Claim] = []
        self.cancelled: list[Claim] = []
        self.go = asyncio.Event()

    async def attempt(self, claim: Claim, hand_in: Callable[[], None]) -> str:
        """Work until told, or until cancelled."""
        self.started.append(claim)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(claim)
            raise
        return "completed"


def no_duties(thresholds: Mapping[str, float]) -> Sequence[TimedDuty]:
    """Give no duty."""
    return ()


def make(
    store: FakeStore,
    clock: TurnedClock,
    attempt: Attempt,
    *,
    slots: int = 2,
    once: bool = False,
    duties: Callable[[Mapping[str, float]], Sequence[TimedDuty]] = no_duties,
) -> Worker:
    """Make an executor."""

    def make_attempt(session: Session) -> Attempt:
        """Use the same attempt for each session."""
        return attempt

    return Worker(
        worker_id=WorkerId("executor-1"),
        worker_type="executor",
        store=store.as_store(),
        pulse=store.as_store(),
        clock=clock,
        make_attempt=make_attempt,
        stopping=asyncio.Event(),
        slots=slots,
        handles=("command", "test"),
        meta={},
        duties=duties,
        once=once,
    )


async def end(worker: Worker, running: asyncio.Future[None]) -> None:
    """Stop a worker and wait for its end."""
    worker.stopping.set()
    worker.wake_up()
    await running


async def test_it_registers_before_its_first_claim_and_writes_offline() -> None:
    """The order of the first and last calls."""
    clock, store = TurnedClock(), FakeStore()
    worker = make(store, clock, Work().attempt)
    running = asyncio.ensure_future(worker.run())
    await settle()
    await end(worker, running)
    assert store.calls[0] == "open"
    assert store.calls[-1] == "close"


async def test_idle_costs_less_than_one_query_a_second() -> None:
    """Claims, wishes for a hint and beats of ten minutes together."""
    clock, store = TurnedClock(), FakeStore()
    worker = make(store, clock, Work().attempt)
    running = asyncio.ensure_future(worker.run())
    await clock.turn(600)
    assert 100 < len(store.calls) < 300
    await end(worker, running)


async def test_work_that_comes_while_going_to_sleep_is_not_slept_over() -> None:
    """After the wish for a hint there is one more claim."""
    clock, store, work = TurnedClock(), FakeStore(), Work()
    store.after_idle = make_claim()
    worker = make(store, clock, work.attempt)
    running = asyncio.ensure_future(worker.run())
    await settle()
    assert len(work.started) == 1
    assert clock.now == 0
    work.go.set()
    await end(worker, running)


async def test_a_hint_wakes_only_a_worker_that_may_do_the_work() -> None:
    """Another type's hint is not ours; an empty one is for everybody."""
    clock, store, work = TurnedClock(), FakeStore(), Work()
    worker = make(store, clock, work.attempt)
    running = asyncio.ensure_future(worker.run())
    await settle()
    store.ready.append(make_claim())
    worker.hint("planning")
    await settle()
    assert not work.started
    worker.hint("command")
    await settle()
    assert len(work.started) == 1
    store.ready.append(make_claim())
    worker.hint("")
    await settle()
    assert len(work.started) == 2
    work.go.set()
    await end(worker, running)


async def test_polling_finds_work_without_any_hint() -> None:
    """The truth is the poll."""
    clock, store, work = TurnedClock(), FakeStore(), Work()
    worker = make(store, clock, work.attempt)
    running = asyncio.ensure_future(worker.run())
    await settle()
    store.ready.append(make_claim())
    await clock.turn(7)
    assert len(work.started) == 1
    work.go.set()
    await end(worker, running)


async def test_it_claims_only_for_free_slots_and_again_at_once() -> None:
    """Two slots: two claims run, the third starts when one ends, without a poll."""
    clock, store, work = TurnedClock(), FakeStore(), Work()
    store.ready.extend(make_claim() for _ in range(4))
    worker = make(store, clock, work.attempt)
    running = asyncio.ensure_future(worker.run())
    await settle()
    assert store.slots_asked == [2]
    assert len(work.started) == 2
    work.go.set()
    await settle()
    assert len(work.started) == 4
    assert clock.now == 0
    await end(worker, running)


async def test_a_busy_worker_keeps_its_heart_beating() -> None:
    """A long attempt does not look like a stalled loop."""
    clock, store, work = TurnedClock(), FakeStore(), Work()
    store.ready.extend([make_claim(), make_claim()])
    worker = make(store, clock, work.attempt)
    running = asyncio.ensure_future(worker.run())
    await clock.turn(limits.STALL_SECONDS * 3)
    assert not running.done()
    assert store.beats[-1] == "busy"
    work.go.set()
    await end(worker, running)


async def test_stopping_lets_attempts_finish() -> None:
    """No new claim after the stop; what runs ends well."""
    clock, store, work = TurnedClock(), FakeStore(), Work()
    store.ready.append(make_claim())
    worker = make(store, clock, work.attempt)
    running = asyncio.ensure_future(worker.run())
    await settle()
    claims = store.calls.count("claim")
    worker.stopping.set()
    worker.wake_up()
    await clock.turn(1)
    work.go.set()
    await running
    assert store.calls.count("claim") == claims
    assert not work.cancelled


async def test_stopping_cancels_what_does_not_finish_in_time() -> None:
    """After drain_seconds an attempt is cancelled, so that it gives its task back."""
    clock, store, work = TurnedClock(), FakeStore(), Work()
    store.ready.append(make_claim())
    worker = make(store, clock, work.attempt)
    running = asyncio.ensure_future(worker.run())
    await settle()
    worker.stopping.set()
    worker.wake_up()
    await clock.turn(limits.DRAIN_SECONDS + 1)
    await running
    assert len(work.cancelled) == 1
    assert store.calls[-1] == "close"


async def test_a_lost_session_cancels_attempts_and_ends_this_life() -> None:
    """The supervisor then starts the worker with a new session."""
    clock, store, work = TurnedClock(), FakeStore(), Work()
    store.ready.append(make_claim())
    worker = make(store, clock, work.attempt)
    running = asyncio.ensure_future(worker.run())
    await settle()
    store.alive = False
    await clock.turn(20)
    with pytest.raises(BaseExceptionGroup) as caught:
        await running
    assert isinstance(root_cause(caught.value), SessionLost)
    assert len(work.cancelled) == 1


async def test_an_attempt_that_breaks_out_costs_only_itself() -> None:
    """A bug in one attempt frees its slot and nothing else happens."""
    clock, store = TurnedClock(), FakeStore()

    async def broken(claim: Claim, hand_in: Callable[[], None]) -> str:
        """Break."""
        raise RuntimeError("planted")

    store.ready.extend([make_claim(), make_claim(), make_claim()])
    worker = make(store, clock, broken)
    running = asyncio.ensure_future(worker.run())
    await clock.turn(30)
    assert not running.done()
    assert not store.ready
    await end(worker, running)


async def test_registration_is_retried_and_nothing_is_claimed_before() -> None:
    """An outage at the start is waited out."""
    clock, store = TurnedClock(), FakeStore()
    store.down = True
    worker = make(store, clock, Work().attempt)
    running = asyncio.ensure_future(worker.run())
    await clock.turn(60)
    assert set(store.calls) == {"open"}
    store.down = False
    await clock.turn(60)
    assert store.sessions == 1
    await end(worker, running)


async def test_an_outage_without_end_is_a_fatal_loss() -> None:
    """The process gives up, so that the platform notices."""
    clock, store = TurnedClock(), FakeStore()
    store.down = True
    running = asyncio.ensure_future(make(store, clock, Work().attempt).run())
    await clock.turn(limits.RESTART_WINDOW_SECONDS * 2)
    with pytest.raises(FatalLoss, match="could not register"):
        await running


async def test_a_failing_duty_disturbs_nobody() -> None:
    """It is tried again at its interval, beside one that works."""
    clock, store = TurnedClock(), FakeStore()
    done: list[str] = []

    async def good() -> None:
        """Work."""
        done.append("good")

    async def bad() -> None:
        """Fail."""
        done.append("bad")
        raise RuntimeError("planted")

    def duties(thresholds: Mapping[str, float]) -> Sequence[TimedDuty]:
        """Give both."""
        return (TimedDuty("good", 10, good), TimedDuty("bad", 10, bad))

    worker = make(store, clock, Work().attempt, duties=duties)
    running = asyncio.ensure_future(worker.run())
    await clock.turn(100)
    assert done.count("good") >= 8
    assert done.count("bad") >= 8
    await end(worker, running)


async def test_once_does_each_duty_and_all_work_and_ends() -> None:
    """What a cron service runs."""
    clock, store, work = TurnedClock(), FakeStore(), Work()
    work.go.set()
    done: list[str] = []

    async def duty() -> None:
        """Work."""
        done.append("duty")

    def duties(thresholds: Mapping[str, float]) -> Sequence[TimedDuty]:
        """Give one."""
        return (TimedDuty("duty", 10, duty),)

    store.ready.extend(make_claim() for _ in range(5))
    await make(store, clock, work.attempt, once=True, duties=duties).run()
    assert done == ["duty"]
    assert len(work.started) == 5
    assert store.calls[-1] == "close"
