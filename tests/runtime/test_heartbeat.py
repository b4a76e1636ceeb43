"""The heartbeat speaks for a loop that turns, and gives up before the database does."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from juggernaut.domain import limits
from juggernaut.domain.model import Session, SessionId, TaskId, WorkerId
from juggernaut.runtime.heartbeat import Heartbeat, Load, Progress, SessionLost
from tests.runtime.fake_store import FakeStore
from tests.runtime.turned_clock import TurnedClock, settle

BEAT = 15.0
LIFE = 60.0


def make(store: FakeStore, clock: TurnedClock, progress: Progress) -> Heartbeat:
    """Make a heartbeat of an idle worker."""
    session = Session(SessionId(uuid.uuid4()), uuid.uuid4(), WorkerId("w"), "executor", ())
    return Heartbeat(
        fleet=store.as_store(),
        session=session,
        clock=clock,
        progress=progress,
        load=lambda: Load("idle", None),
        beat_seconds=BEAT,
        session_seconds=LIFE,
        renewed=clock.monotonic(),
    )


async def test_it_beats_at_its_interval() -> None:
    """One beat at the start, then one every interval."""
    clock, store = TurnedClock(), FakeStore()
    progress = Progress(clock)
    running = asyncio.ensure_future(make(store, clock, progress).run())
    await clock.turn(BEAT * 4)
    assert store.beats == ["idle"] * 5
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_stalled_loop_silences_it_and_loses_the_session() -> None:
    """No beat after the marker is too old; then the session is given up."""
    clock, store = TurnedClock(), FakeStore()
    running = asyncio.ensure_future(make(store, clock, Progress(clock)).run())
    await clock.turn(limits.STALL_SECONDS)
    beats = len(store.beats)
    await clock.turn(LIFE + BEAT)
    assert len(store.beats) == beats
    with pytest.raises(SessionLost, match="not renewed"):
        await running


async def test_a_loop_that_turns_again_is_spoken_for_again() -> None:
    """A short stall costs no session."""
    clock, store = TurnedClock(), FakeStore()
    progress = Progress(clock)
    running = asyncio.ensure_future(make(store, clock, progress).run())
    await clock.turn(limits.STALL_SECONDS + BEAT)
    beats = len(store.beats)
    progress.mark()
    await clock.turn(BEAT)
    assert len(store.beats) > beats
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_refused_beat_loses_the_session_at_once() -> None:
    """The database's word counts."""
    clock, store = TurnedClock(), FakeStore()
    running = asyncio.ensure_future(make(store, clock, Progress(clock)).run())
    await settle()
    store.alive = False
    await clock.turn(BEAT)
    with pytest.raises(SessionLost, match="ended its session"):
        await running


async def test_single_failures_are_retried_sooner() -> None:
    """An outage shorter than the session is survived."""
    clock, store = TurnedClock(), FakeStore()
    progress = Progress(clock)
    running = asyncio.ensure_future(make(store, clock, progress).run())
    await settle()
    store.down = True
    await clock.turn(BEAT * 2)
    tries = store.calls.count("beat")
    assert tries >= 5
    store.down = False
    await clock.turn(BEAT)
    progress.mark()
    await clock.turn(LIFE)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_an_outage_ends_the_session_no_later_than_the_database_would() -> None:
    """The count runs from before the last good beat was sent."""
    clock, store = TurnedClock(), FakeStore()
    running = asyncio.ensure_future(make(store, clock, Progress(clock)).run())
    await settle()
    store.down = True
    await clock.turn(LIFE - 0.01)
    assert not running.done()
    await clock.turn(0.01)
    with pytest.raises(SessionLost):
        await running


async def test_a_beat_that_hangs_is_cut_off_when_the_session_is_over() -> None:
    """A dead connection does not keep attempts alive."""
    clock = TurnedClock()

    class Hanging(FakeStore):
        """Never answers a beat."""

        async def beat(self, session: Session, status: str, task: TaskId | None) -> bool:
            """Hang."""
            await asyncio.Event().wait()
            return True

    running = asyncio.ensure_future(make(Hanging(), clock, Progress(clock)).run())
    await clock.turn(LIFE)
    with pytest.raises(SessionLost):
        await running
