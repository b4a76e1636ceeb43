"""A claim that breaks costs no attempt that runs."""

from __future__ import annotations

import asyncio

import pytest

from tests.runtime.test_ahead import Bench


async def test_a_broken_claim_ends_the_loop_only_when_nothing_runs() -> None:
    """The attempts go on to their ends; then the error is the supervisor's."""
    bench = Bench(work_seconds=30.0)
    bench.fill(1)
    running = asyncio.ensure_future(bench.loop.run())
    await bench.clock.turn(1)
    assert bench.at_work == 1

    async def broken() -> None:
        """Answer with what nobody reads."""
        raise ValueError("a value of more than 4300 digits")

    bench.store.trip = broken
    await bench.clock.turn(20)
    assert bench.at_work == 1
    assert not running.done()
    await bench.clock.turn(60)
    assert bench.done == 1
    with pytest.raises(ValueError, match="4300 digits"):
        await running
