"""Children that fall are started again, alone, and not for ever."""

from __future__ import annotations

import asyncio

import pytest

from juggernaut.domain import limits
from juggernaut.runtime.supervisor import Child, FatalLoss, Supervisor
from tests.runtime.turned_clock import TurnedClock, settle


class Scripted:
    """A child that falls so many times, then runs until stopped."""

    def __init__(self, falls: int, stopping: asyncio.Event, error: Exception | None = None) -> None:
        """Plan the falls."""
        self.falls = falls
        self.starts = 0
        self.drained = False
        self._stopping = stopping
        self._error = error or RuntimeError("planted")

    async def run(self) -> None:
        """Fall, or wait for the end."""
        self.starts += 1
        if self.starts <= self.falls:
            raise self._error
        await self._stopping.wait()
        self.drained = True


async def test_a_fallen_child_is_restarted_and_its_siblings_never_notice() -> None:
    """One for one: the sibling is started exactly once."""
    clock, stopping = TurnedClock(), asyncio.Event()
    faller, steady = Scripted(3, stopping), Scripted(0, stopping)
    supervisor = Supervisor(clock, stopping)
    running = asyncio.ensure_future(
        supervisor.run([Child("faller", faller.run), Child("steady", steady.run)])
    )
    await clock.turn(60)
    assert (faller.starts, steady.starts) == (4, 1)
    assert supervisor.records["faller"].restarts == 3
    stopping.set()
    await running
    assert steady.drained


async def test_restarts_wait_longer_each_time() -> None:
    """The back-off at least doubles within the jitter of a quarter."""
    clock, stopping = TurnedClock(), asyncio.Event()
    times: list[float] = []

    async def fall() -> None:
        """Note when it was started, and fall."""
        times.append(clock.monotonic())
        raise RuntimeError("planted")

    running = asyncio.ensure_future(Supervisor(clock, stopping).run([Child("faller", fall)]))
    await clock.turn(120)
    with pytest.raises(FatalLoss, match="faller fell 6 times"):
        await running
    waits = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert len(times) == limits.RESTARTS_MAX + 1
    for number, wait in enumerate(waits):
        middle = limits.RESTART_BASE_SECONDS * 2**number
        assert 0.75 * middle <= wait <= 1.25 * middle


async def test_a_crash_loop_ends_the_process_after_the_others_drained() -> None:
    """Too many falls in the window stop everybody in good order."""
    clock, stopping = TurnedClock(), asyncio.Event()
    faller, steady = Scripted(10**6, stopping), Scripted(0, stopping)
    running = asyncio.ensure_future(
        Supervisor(clock, stopping).run([Child("f", faller.run), Child("s", steady.run)])
    )
    await clock.turn(120)
    with pytest.raises(FatalLoss):
        await running
    assert steady.drained
    assert faller.starts == limits.RESTARTS_MAX + 1


async def test_rare_falls_never_end_the_process() -> None:
    """Falls that are further apart than the window do not add up."""
    clock, stopping = TurnedClock(), asyncio.Event()
    starts = 0

    async def rare() -> None:
        """Fall now and then."""
        nonlocal starts
        starts += 1
        await clock.sleep(limits.RESTART_WINDOW_SECONDS)
        raise RuntimeError("planted")

    running = asyncio.ensure_future(Supervisor(clock, stopping).run([Child("rare", rare)]))
    await clock.turn(limits.RESTART_WINDOW_SECONDS * 20)
    assert starts > 3 * limits.RESTARTS_MAX
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_loss_that_no_restart_can_help_is_not_restarted() -> None:
    """FatalLoss goes straight up."""
    clock, stopping = TurnedClock(), asyncio.Event()
    child = Scripted(10, stopping, FatalLoss("the database is gone"))
    with pytest.raises(FatalLoss, match="the database is gone"):
        await Supervisor(clock, stopping).run([Child("worker", child.run)])
    assert child.starts == 1


async def test_helpers_end_with_the_last_child_and_hidden_causes_are_found() -> None:
    """A listener is cancelled at the end; a FatalLoss inside a group counts as one."""
    clock, stopping = TurnedClock(), asyncio.Event()
    ended = False

    async def listen() -> None:
        """Run until cancelled."""
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    async def work() -> None:
        """Fall with a group, as a TaskGroup does."""
        await settle()
        raise ExceptionGroup("nested", [FatalLoss("gone")])

    with pytest.raises(FatalLoss, match="gone"):
        await Supervisor(clock, stopping).run([Child("w", work)], [Child("listen", listen)])
    assert ended


async def test_stopping_ends_the_wait_before_a_restart() -> None:
    """A child in its back-off does not hold the process up."""
    clock, stopping = TurnedClock(), asyncio.Event()
    child = Scripted(10**6, stopping)
    running = asyncio.ensure_future(Supervisor(clock, stopping).run([Child("f", child.run)]))
    await settle()
    stopping.set()
    await running
    assert child.starts == 1
