"""Execute: one attempt, from its first line to its last word.

Whatever happens inside, the task ends in a state that says what happened: there is no way out
of `run_attempt` that leaves a task in progress, short of the death of the process or of the
database, and then the lease runs out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from juggernaut.domain import faults
from juggernaut.domain.errors import DatabaseUnreachable, LeaseLost, Released
from juggernaut.domain.limits import STOP_SECONDS
from juggernaut.domain.model import Claim, Completion
from juggernaut.lifecycle.attempt import Attempt, Services, unheard
from juggernaut.lifecycle.complete import Failure, complete, fail, stop
from juggernaut.lifecycle.keep import keep
from juggernaut.lifecycle.recording import Recording

# The task is out of reach: the sweep takes it back when the lease has run out.
_GONE = (DatabaseUnreachable, LeaseLost)


class Performer(Protocol):
    """What a role is to an attempt: a name and a way to do the work."""

    @property
    def name(self) -> str:
        """Give the name of the role."""
        ...

    async def perform(self, attempt: Attempt) -> Completion:
        """Do the task; every error of the tree may come out of it."""
        ...


async def run_attempt(
    services: Services,
    role: Performer,
    claim: Claim,
    stopping: Callable[[], bool],
    hand_in: Callable[[], None] = unheard,
) -> str:
    """Do a claimed task and write how it ended; gives the last word.

    `hand_in` is called when the work is done and only its completion has to be written.

    The words are completed, failed, retry, parked, released and lost. Only CancelledError comes
    out, after the task was given back; and what kept even the failure from being written, so that
    the supervisor shows it.
    """
    recording = _recording(services, claim)
    attempt = Attempt(services, claim.task, claim.lease, recording, hand_in)
    services.running.add(attempt.name)
    work = asyncio.create_task(_work(attempt, role))
    keeper = asyncio.create_task(keep(attempt))
    cancelled = False
    try:
        await asyncio.wait(
            {work, keeper},
            timeout=claim.task.timeout_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
    except asyncio.CancelledError:
        cancelled = True
    in_time = cancelled or work.done() or keeper.done()
    try:
        await _stop(work, keeper)
        last = asyncio.create_task(_end(attempt, work, keeper, in_time, stopping()))
        await asyncio.wait({last})
        broken = None if last.cancelled() else last.exception()
        if broken is not None and not isinstance(broken, _GONE):
            last = asyncio.create_task(stop(attempt, broken, stopping()))
            await asyncio.wait({last})
        word = _last_word(last)
    finally:
        services.running.discard(attempt.name)
    if cancelled:
        raise asyncio.CancelledError
    return word


def _recording(services: Services, claim: Claim) -> Recording | None:
    """Give the cassette of an attempt, where an operator wants one."""
    if services.cassettes is None:
        return None
    settings = services.settings
    level = services.sandbox.level
    return Recording(services.cassettes, claim, settings.repo, settings.secrets, level)


async def _work(attempt: Attempt, role: Performer) -> Completion:
    """Let the role do the task."""
    faults.reach("claim.got")
    task = attempt.task
    await attempt.log(
        "task_start",
        f"{role.name} starts attempt {task.attempts}: {task.title}",
        metadata={"task_type": task.task_type, "priority": task.priority.value},
    )
    return await role.perform(attempt)


async def _stop(*tasks: asyncio.Task[Completion] | asyncio.Task[None]) -> None:
    """Cancel what still runs and wait until its children are dead."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=STOP_SECONDS)


async def _end(
    attempt: Attempt,
    work: asyncio.Task[Completion],
    keeper: asyncio.Task[None],
    in_time: bool,
    stopping: bool,
) -> str:
    """Write how the attempt ended."""
    if work.done() and not work.cancelled():
        error = work.exception()
        return (
            await complete(attempt, work.result())
            if error is None
            else await stop(attempt, error, stopping)
        )
    if keeper.done() and not keeper.cancelled():
        lost = keeper.exception() or LeaseLost("the watch over the lease ended")
        return await stop(attempt, lost, stopping)
    if not in_time:
        seconds = attempt.task.timeout_seconds
        message = f"the attempt took longer than its timeout of {seconds:g} s"
        return await fail(attempt, Failure("timeout", message, True, "TimeoutError"))
    why = "the worker is stopping" if stopping else "the role was restarted"
    return await stop(attempt, Released(why), stopping)


def _last_word(last: asyncio.Task[str]) -> str:
    """Give the last word; a write that could not be made leaves the task to the sweep."""
    if last.cancelled():
        return "lost"
    error = last.exception()
    if error is None:
        return last.result()
    if isinstance(error, _GONE):
        return "lost"
    raise error
