"""Effect: a change in the outside world is intended, looked up, performed and confirmed, once.

kill -9 between any two of these steps is safe: the next attempt finds the intention in the
ledger and asks the forge before it does anything again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from juggernaut.domain import faults
from juggernaut.domain.errors import LeaseLost
from juggernaut.domain.model import Json
from juggernaut.lifecycle.attempt import Attempt


async def recall_effect(attempt: Attempt, kind: str, key: str) -> Json | None:
    """Give the recorded result of an effect of this task, or None when it is not confirmed."""
    record = await attempt.services.store.intend(attempt.lease, kind, key, {"asked": "recall"})
    if record is None:
        raise LeaseLost(f"task {attempt.task.id} is not held by this attempt any more")
    return record.result if record.state == "confirmed" else None


async def once(
    attempt: Attempt,
    kind: str,
    key: str,
    request: Json,
    *,
    look_up: Callable[[], Awaitable[Json | None]],
    perform: Callable[[], Awaitable[Json]],
    lasts: bool = True,
) -> Json:
    """Carry out an effect unless it happened already; gives its result. Raises LeaseLost.

    One that does not last can be undone by others: though it is confirmed, it is looked up.
    """
    store = attempt.services.store
    record = await store.intend(attempt.lease, kind, key, request)
    if record is None:
        raise LeaseLost(f"task {attempt.task.id} is not held by this attempt any more")
    faults.reach("effect.intended")
    if lasts and record.state == "confirmed" and record.result is not None:
        return record.result
    result = await look_up()
    if result is None:
        await attempt.check_held()
        result = await perform()
    attempt.holds(await store.confirm(attempt.lease, record.id, result))
    return result
