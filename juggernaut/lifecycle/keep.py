"""Keep: watch the lease while an attempt works, and say when it is lost.

The worker's heartbeat renews the lease. This only asks, so that an attempt whose task was
cancelled or taken over stops its children soon, and so that a worker that cannot reach the
database stops before anybody else may have started.
"""

from __future__ import annotations

from juggernaut.domain.errors import DatabaseUnreachable, LeaseLost
from juggernaut.domain.limits import LEASE_CHECK_SECONDS
from juggernaut.lifecycle.attempt import Attempt


async def keep(attempt: Attempt) -> None:
    """Ask until the lease is lost; ends by raising LeaseLost.

    A lease lasts as long as at the claim, counted from before each question that got a yes.
    """
    clock = attempt.services.clock
    good_until = attempt.lease.deadline_monotonic
    length = max(good_until - clock.monotonic(), LEASE_CHECK_SECONDS)
    while True:
        await clock.sleep(LEASE_CHECK_SECONDS)
        asked = clock.monotonic()
        try:
            await attempt.check_held()
            good_until = asked + length
        except DatabaseUnreachable as error:
            if clock.monotonic() + LEASE_CHECK_SECONDS > good_until:
                raise LeaseLost(
                    f"the database gave no answer while the lease on task"
                    f" {attempt.task.id} ran out: {error}"
                ) from error
