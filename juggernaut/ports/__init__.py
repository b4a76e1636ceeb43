"""The seams of Juggernaut: what the lifecycle needs from the outside, as small Protocols.

Each port has one conformance suite in tests/ports that every implementation passes.

store    what PostgreSQL does: queue, leases, ledgers, purse, duties
minds    language models and code agents
world    time, sandboxes, work trees, forges
"""

from __future__ import annotations

from juggernaut.ports.minds import Asker, CodeAgent, LanguageModel, Models
from juggernaut.ports.store import Attempts, Duties, Effects, Fleet, Knowledge, Purse, Queue, Store
from juggernaut.ports.world import Clock, Forge, Sandbox, Workspace, Workspaces

__all__ = [
    "Asker",
    "Attempts",
    "Clock",
    "CodeAgent",
    "Duties",
    "Effects",
    "Fleet",
    "Forge",
    "Knowledge",
    "LanguageModel",
    "Models",
    "Purse",
    "Queue",
    "Sandbox",
    "Store",
    "Workspace",
    "Workspaces",
]
