"""WATCHDOG: takes back what was lost, and raises an alert for what goes wrong. No model."""

from __future__ import annotations

from juggernaut.role import Duty, DutyContext, Json, Role


async def sweep(duty: DutyContext) -> Json:
    """Take back expired leases, mark stale workers, promote due tasks."""
    return await duty.sweep()


async def detect(duty: DutyContext) -> Json:
    """Look for stale workers, stuck tasks, failure rates and repeated errors."""
    return await duty.detect()


ROLE = Role(
    name="watchdog",
    instructions="You are WATCHDOG. You ask no model.",
    duties=(Duty("sweep", "sweep_seconds", sweep), Duty("detect", "detect_seconds", detect)),
)
