"""Waiting that something else can end, on a clock that a test can turn."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import TypeVar

from juggernaut.domain import limits
from juggernaut.ports import Clock

T = TypeVar("T")


async def pause(clock: Clock, seconds: float, event: asyncio.Event) -> bool:
    """Wait for the event, at most so many seconds; say whether it came."""
    if event.is_set():
        return True
    if seconds <= 0:
        return False
    woken = asyncio.ensure_future(event.wait())
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({woken, timer}, return_when=asyncio.FIRST_COMPLETED)
        return woken.done()
    finally:
        # Neither holds anything, so whoever is woken goes on and does not wait until they ended.
        woken.cancel()
        timer.cancel()


async def within(clock: Clock, seconds: float, work: Coroutine[object, object, T]) -> T | None:
    """Run work for at most so many seconds; None means that it was cut off."""
    task = asyncio.ensure_future(work)
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        pending = [waiter for waiter in (task, timer) if not waiter.done()]
        for waiter in pending:
            waiter.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def jittered(seconds: float) -> float:
    """Spread a wait by a quarter either way, so that processes do not march in step."""
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311 - pacing, not secrecy


def backoff(failures: int) -> float:
    """Give the wait in seconds after so many failures in a row: doubled, capped, jittered."""
    exponent = min(max(failures, 1) - 1, 16)
    wait = limits.RESTART_BASE_SECONDS * float(2**exponent)
    return jittered(min(limits.RESTART_CAP_SECONDS, wait))
