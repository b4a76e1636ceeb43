"""Complete: how an attempt ends, in one fenced write.

completed, failed, retry (back to the queue after a pause), parked (waits for a person), released
(the worker stops; no attempt is counted) or lost (another attempt holds the task).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import SystemRandom
from typing import TypeVar

from juggernaut.domain import faults
from juggernaut.domain.errors import (
    BudgetExhausted,
    DatabaseUnreachable,
    ForgeBusy,
    ForgeUnauthorized,
    InvariantBroken,
    JuggernautError,
    LawRefused,
    LeaseLost,
    ModelsBusy,
    Parked,
    Released,
)
from juggernaut.domain.evidence import shortcomings
from juggernaut.domain.limits import (
    EVIDENCE_BYTES,
    FINAL_WRITE_PAUSE_SECONDS,
    FINAL_WRITE_TRIES,
    LOG_MESSAGE_CHARS,
    MODEL_REST_SECONDS,
    RETRY_BASE_SECONDS,
    RETRY_CAP_SECONDS,
    TITLE_CHARS,
)
from juggernaut.domain.model import Completion, Json
from juggernaut.domain.redact import scrub_json
from juggernaut.lifecycle.attempt import Attempt

BUDGET_OWNER = "an operator: set_budget"
FORGE_OWNER = "a person: give the token or the App what it needs, then retry_task"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed: `code` is stable, `message` is for people."""

    code: str
    message: str
    retryable: bool
    kind: str


def retry_after(attempts: int, share: float) -> float:
    """Give the seconds before attempt `attempts` + 1; `share` from 0 to 1 is the jitter."""
    longest = min(RETRY_BASE_SECONDS * 2.0 ** max(attempts - 1, 0), RETRY_CAP_SECONDS)
    return longest * (0.5 + share / 2)


def describe(error: BaseException) -> Failure:
    """Say how an error ends an attempt; what nobody foresaw is `internal` and may be retried."""
    kind = type(error).__name__
    if isinstance(error, JuggernautError):
        return Failure(error.code, str(error) or kind, error.retryable, kind)
    if isinstance(error, asyncio.CancelledError):
        return Failure("internal", "the attempt cancelled itself", True, kind)
    return Failure("internal", f"{kind}: {error}", True, kind)


async def complete(attempt: Attempt, completion: Completion) -> str:
    """Write evidence, verdicts, learning and `completed`; gives the last word."""
    clean = scrubbed(attempt, completion)
    missing = shortcomings(clean.evidence)
    if missing:
        broken = InvariantBroken(f"the evidence is not what it owes: {'; '.join(missing)}")
        return await fail(attempt, describe(broken))

    async def write() -> bool:
        """Hand it to the database, which may refuse it."""
        return await attempt.services.store.complete(attempt.lease, clean)

    faults.reach("complete.sent")
    attempt.hand_in()
    try:
        landed = await _insist(attempt, write)
    except (LawRefused, InvariantBroken) as error:
        return await fail(attempt, describe(error))
    faults.reach("complete.acked")
    return "completed" if landed else "lost"


def scrubbed(attempt: Attempt, completion: Completion) -> Completion:
    """Take the secrets of this process out of all that a completion writes."""

    def clean(facts: Json) -> Json:
        """Scrub some facts."""
        found = scrub_json(facts, attempt.services.settings.secrets, EVIDENCE_BYTES)
        return found if isinstance(found, dict) else {}

    learning = completion.learning
    return replace(
        completion,
        evidence=replace(completion.evidence, facts=clean(completion.evidence.facts)),
        verdicts=tuple(replace(item, facts=clean(item.facts)) for item in completion.verdicts),
        summary=attempt.scrub(completion.summary, LOG_MESSAGE_CHARS),
        learning=learning
        and replace(
            learning,
            title=attempt.scrub(learning.title, TITLE_CHARS),
            description=attempt.scrub(learning.description, LOG_MESSAGE_CHARS),
        ),
        result=completion.result and clean(completion.result),
    )


async def fail(attempt: Attempt, failure: Failure) -> str:
    """Write a failure; back to the queue after a pause, or to its end. Gives the last word."""
    message = attempt.scrub(failure.message, LOG_MESSAGE_CHARS)
    pause = retry_after(attempt.task.attempts, SystemRandom().random())

    async def write() -> str | None:
        """Log what happened, then end the attempt."""
        await attempt.log(
            "task_error",
            message,
            level="error",
            error={"error_type": failure.kind, "code": failure.code, "details": message},
        )
        return await attempt.services.store.fail(
            attempt.lease, failure.code, message, retry_after=pause if failure.retryable else None
        )

    status = await _insist(attempt, write)
    if status is None:
        return "lost"
    return "retry" if status == "pending" else status


async def release(attempt: Attempt, reason: str) -> str:
    """Give the task back without counting an attempt; gives the last word."""

    async def write() -> bool:
        """End the attempt."""
        return await attempt.services.store.release(attempt.lease, reason)

    return "released" if await _insist(attempt, write) else "lost"


async def stop(attempt: Attempt, error: BaseException, stopping: bool) -> str:
    """Write the end that an error calls for; gives the last word."""
    if isinstance(error, LeaseLost):
        return "lost"
    if isinstance(error, Parked):
        return "parked"
    if isinstance(error, Released):
        return await release(attempt, str(error))
    if isinstance(error, BudgetExhausted):
        return await _block(attempt, error, BUDGET_OWNER)
    if isinstance(error, (ForgeBusy, ModelsBusy)):
        return await put_off(attempt, error)
    if isinstance(error, ForgeUnauthorized):
        return await _block(attempt, error, FORGE_OWNER)
    failure = describe(error)
    if stopping and failure.retryable:
        # A child that got the worker's own SIGTERM looks like a failure of the work.
        return await release(attempt, f"the worker stopped; at that time: {failure.code}")
    return await fail(attempt, failure)


async def put_off(attempt: Attempt, busy: ForgeBusy | ModelsBusy) -> str:
    """Give the task back for as long as forge or models want to be left alone; no slot waits."""
    reason = attempt.scrub(str(busy), LOG_MESSAGE_CHARS)

    async def write() -> bool:
        """End the attempt."""
        store = attempt.services.store
        seconds = busy.retry_after_seconds or MODEL_REST_SECONDS
        return await store.put_off(attempt.lease, busy.code, reason, seconds)

    return "released" if await _insist(attempt, write) else "lost"


async def _block(attempt: Attempt, error: JuggernautError, owner: str) -> str:
    """Park the task for a person, uncounted; the watchdog raises an alert of it."""
    reason = attempt.scrub(str(error), LOG_MESSAGE_CHARS)
    landed = await _insist(
        attempt, lambda: attempt.services.store.block(attempt.lease, reason, owner)
    )
    return "parked" if landed else "lost"


async def _insist(attempt: Attempt, write: Callable[[], Awaitable[_T]]) -> _T:
    """Repeat a last write while the database is away; the fence makes a repeat harmless."""
    for number in range(FINAL_WRITE_TRIES - 1):
        try:
            return await write()
        except DatabaseUnreachable:
            await attempt.services.clock.sleep(FINAL_WRITE_PAUSE_SECONDS * 2**number)
    return await write()
