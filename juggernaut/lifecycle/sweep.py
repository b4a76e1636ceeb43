"""Sweep: what keeps a swarm going without a model, safe from any number of processes."""

from __future__ import annotations

from juggernaut.domain.model import Json
from juggernaut.lifecycle.attempt import Services


async def sweep(services: Services) -> Json:
    """Take back expired leases, mark stale workers, promote due tasks; gives counts."""
    return await services.store.sweep()


async def detect(services: Services) -> Json:
    """Raise and resolve alerts; gives counts per kind."""
    return await services.store.detect()


async def clear_trees(services: Services) -> Json:
    """Remove work trees that no attempt of this process uses; the folder is the process's own."""
    return {"trees": await services.workspaces.sweep(sorted(services.running))}
