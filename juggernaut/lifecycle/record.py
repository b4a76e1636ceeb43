"""Record: what passes in an attempt goes to its cassette, where an operator wants one.

A cassette that cannot be written is said once in the log; the attempt goes on without it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from juggernaut.domain.agents import AgentEvent
from juggernaut.domain.errors import InvalidInput, JuggernautError
from juggernaut.domain.exchange import AgentRequest, AgentResult, ModelReply, ModelRequest
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.recording import Recording

STOPPED = "record_stopped"


async def begin(
    attempt: Attempt, request: AgentRequest, base: str, change: str | None, *, same_tree: bool
) -> None:
    """Record that the code agent begins."""
    agent = attempt.services.agent.name
    await _do(attempt, lambda tape: tape.begin(agent, request, base, change, same_tree))


async def answered(
    attempt: Attempt, request: ModelRequest, reply: ModelReply, *, replayed: bool = False
) -> None:
    """Record a model call."""
    await _do(attempt, lambda tape: tape.answered(request, reply, replayed))


async def failed(attempt: Attempt, request: ModelRequest, error: JuggernautError) -> None:
    """Record a model call that gave no reply."""
    await _do(attempt, lambda tape: tape.failed(request, error))


def hear(attempt: Attempt, event: AgentEvent) -> None:
    """Take what a tool gave; it is written with the next line."""
    if attempt.recording is not None:
        attempt.recording.hear(event)


async def end(attempt: Attempt, result: AgentResult) -> None:
    """Record how the code agent ended."""
    await _do(attempt, lambda tape: tape.end(result))


async def _do(attempt: Attempt, write: Callable[[Recording], Awaitable[None]]) -> None:
    """Write, unless nothing is recorded or it went wrong before."""
    tape = attempt.recording
    if tape is None or tape.stopped:
        return
    try:
        await write(tape)
    except (OSError, InvalidInput) as error:
        tape.stopped = True
        await attempt.log(STOPPED, f"nothing more is recorded: {error}", level="warning")
