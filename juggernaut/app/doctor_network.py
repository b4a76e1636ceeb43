"""What `juggernaut doctor` says of the way out of the sandbox, and of who needs one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from juggernaut.app.doctor import Finding

if TYPE_CHECKING:
    from juggernaut.app.setting_sources import Loaded

BARE: Final = "bare"
WALLED: Final = "bubblewrap"
INSTALL: Final = "install bubblewrap, and let it make user namespaces"


def check_network(loaded: Loaded, level: str) -> Finding:
    """Say what commands of the repository may reach at this level; raises ConfigError."""
    from juggernaut.app.wiring import load_policy

    entries = load_policy(loaded.resources.config / "policy.yaml").network
    names = ", ".join(str(entry) for entry in entries)
    if level == BARE:
        detail = "bare: commands reach the whole network, whatever the policy says"
        return Finding("network", "warn", detail, INSTALL)
    if not entries:
        detail = f"{level}: commands reach nothing (network.allow in policy.yaml is empty)"
        return Finding("network", "ok", detail)
    if level != WALLED:
        detail = (
            f"{level} has no sockets: commands reach nothing, though policy.yaml allows {names}"
        )
        return Finding("network", "warn", detail, INSTALL)
    detail = f"{level}: commands of low and medium tasks reach {names}; each connection is logged"
    return Finding("network", "ok", detail)


def check_agent_level(loaded: Loaded, level: str) -> Finding:
    """Say whether the code agent can run at this level; raises ConfigError for an unknown one."""
    from juggernaut.adapters.agents.cli import NO_SOCKETS, SOCKETLESS, CliAgent
    from juggernaut.app.agents import registry

    settings = loaded.settings
    with tempfile.TemporaryDirectory(prefix="juggernaut-agent-") as scratch:
        agent = registry(settings, Path(scratch)).make(settings.agent)
    if level == SOCKETLESS and isinstance(agent, CliAgent):
        detail = NO_SOCKETS.format(name=agent.name)
        return Finding("agent sandbox", "warn", detail, INSTALL)
    return Finding("agent sandbox", "ok", f"{agent.name} runs at the level {level}")
