"""The code agents that there are, which one the settings choose, and what doctor says of it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from juggernaut.adapters.agents.claude_code import ClaudeCode
from juggernaut.adapters.agents.cli import CliAgent
from juggernaut.adapters.agents.codex import Codex
from juggernaut.adapters.agents.opencode import OpenCode
from juggernaut.adapters.agents.registry import Registry
from juggernaut.app.settings import Settings
from juggernaut.coder.loop import BuiltinAgent
from juggernaut.domain.errors import ConfigError
from juggernaut.ports import CodeAgent

BUILTIN: Final = "builtin"
ANSWER_SECONDS: Final = 15.0
VERSION_CHARS: Final = 80


def registry(settings: Settings, scratch: Path) -> Registry:
    """Give all of them; a new one is one line here. `scratch` is for the HOMEs of programs."""
    found = Registry()
    found.register(BUILTIN, BuiltinAgent)
    for cli in (ClaudeCode(), OpenCode(), Codex()):
        program = str(settings.agent_path) if settings.agent_path else None
        found.register(cli.name, partial(CliAgent, cli, scratch, program))
    return found


def choose_agent(settings: Settings, scratch: Path) -> CodeAgent:
    """Give the agent of the settings; raises ConfigError when it is not known or not installed."""
    agent = registry(settings, scratch).make(settings.agent)
    if isinstance(agent, CliAgent):
        agent.found()
    return agent


def agent_version(settings: Settings) -> str:
    """Give the name of the agent, and what its program answers; raises ConfigError."""
    with tempfile.TemporaryDirectory(prefix="juggernaut-agent-") as home:
        agent = choose_agent(settings, Path(home))
        if not isinstance(agent, CliAgent):
            return agent.name
        program = agent.found()
        try:
            answer = subprocess.run(
                [program, "--version"],
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": home, "TMPDIR": home},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=ANSWER_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"the program of {agent.name} does not answer: {error}") from None
    if answer.returncode != 0:
        said = (answer.stderr or answer.stdout).strip()[:VERSION_CHARS]
        raise ConfigError(
            f"{program} --version ended with {answer.returncode}: {said};"
            f" install {agent.name} again"
        )
    return f"{agent.name}: {answer.stdout.strip()[:VERSION_CHARS]} ({program})"
