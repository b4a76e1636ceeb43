"""The seams of Juggernaut: what the lifecycle needs from the outside, as small Protocols.

Each port has one conformance suite in tests/ports that every implementation passes.

store    what PostgreSQL does: queue, leases, ledgers, purse, duties
minds    language models and code agents
world    time, sandboxes, work trees
forge    repositories and pull requests
tapes    cassettes: what passed in an attempt
"""

from __future__ import annotations

from juggernaut.ports.forge import Forge, PullLife, Pulls
from juggernaut.ports.minds import Asker, Choice, CodeAgent, LanguageModel, Models
from juggernaut.ports.store import Attempts, Duties, Effects, Fleet, Knowledge, Purse, Queue, Store
from juggernaut.ports.tapes import Cassettes
from juggernaut.ports.world import Clock, Gateway, Sandbox, TellContact, Workspace, Workspaces

__all__ = [
    "Asker",
    "Attempts",
    "Cassettes",
    "Choice",
    "Clock",
    "CodeAgent",
    "Duties",
    "Effects",
    "Fleet",
    "Forge",
    "Gateway",
    "Knowledge",
    "LanguageModel",
    "Models",
    "PullLife",
    "Pulls",
    "Purse",
    "Queue",
    "Sandbox",
    "Store",
    "TellContact",
    "Workspace",
    "Workspaces",
]
