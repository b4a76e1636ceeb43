"""A role's periodic, model-free work, and what it may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from juggernaut.domain.errors import (
    ConfigError,
)
from juggernaut.domain.model import (
    Json,
)
from juggernaut.lifecycle import settle, sweep, watch
from juggernaut.lifecycle.attempt import Services
from juggernaut.lifecycle.schedule import fire_due


class DutyContext:
    """What a duty may do: keep the swarm going, without a model and without a task."""

    def __init__(self, services: Services) -> None:
        """Serve the duties of one process."""
        self._services = services

    async def sweep(self) -> Json:
        """Take back expired leases, mark stale workers, promote due tasks."""
        return await sweep.sweep(self._services)

    async def detect(self) -> Json:
        """Raise and resolve alerts."""
        return await sweep.detect(self._services)

    async def clear_trees(self) -> Json:
        """Remove work trees that no attempt of this process uses."""
        return await sweep.clear_trees(self._services)

    async def confirm_merges(self) -> Json:
        """Ask the forge about merges that plain-SQL workers reported; gives counts."""
        return await settle.confirm_merges(self._services)

    async def follow_pulls(self) -> Json:
        """Look at pull requests that wait, and bring their tasks back; gives counts."""
        return await watch.follow_pulls(self._services)

    async def follow_goals(self) -> Json:
        """Close finished goals with evidence; ask for a new plan where a task failed for good."""
        return await self._services.store.settle_goals()

    async def fire_schedules(self) -> Json:
        """Create the tasks of all due schedules."""
        return await fire_due(self._services.store, datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Duty:
    """Model-free work that comes back: `every` is seconds, or names a row of the thresholds."""

    name: str
    every: str | float
    run: Callable[[DutyContext], Awaitable[Json]]

    def every_seconds(self, thresholds: Mapping[str, float]) -> float:
        """Give the interval; raises ConfigError for a threshold that is not there."""
        if not isinstance(self.every, str):
            return self.every
        if self.every not in thresholds:
            raise ConfigError(
                f"duty {self.name} comes every {self.every!r}, which juggernaut.thresholds"
                " does not have"
            )
        return thresholds[self.every]
