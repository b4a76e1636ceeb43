"""Schedule: tasks that come back by the clock, each time exactly one.

A schedule that was missed while nobody ran fires once, then goes on from now. One whose cron or
time zone makes no sense is disabled with an alert.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from juggernaut.domain.model import Json
from juggernaut.ports import Duties


async def fire_due(duties: Duties, now: datetime) -> Json:
    """Create the tasks of all due schedules; gives how many fired and how many were disabled."""
    fired = disabled = 0
    for row in await duties.due_schedules():
        upcoming = next_time(str(row.get("cron")), str(row.get("time_zone")), now)
        landed = await duties.fire_schedule(
            str(row.get("name")), str(row.get("scheduled_at")), upcoming
        )
        fired += landed
        disabled += upcoming is None
    return {"fired": fired, "disabled": disabled}


def next_time(cron: str, zone: str, now: datetime) -> str | None:
    """Give the next time of a cron line in its time zone, as ISO 8601 in UTC.

    None when the line is wrong, the zone is unknown, or the time never comes.
    """
    try:
        local = now.astimezone(ZoneInfo(zone))
        return next(CronSim(cron, local)).astimezone(UTC).isoformat()
    except (CronSimError, StopIteration, ValueError, OSError, KeyError):
        return None
