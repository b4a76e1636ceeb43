"""The three real programs, each with a tree, a scripted model and real walls."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from juggernaut.adapters.agents.claude_code import ClaudeCode
from juggernaut.adapters.agents.cli import Cli, CliAgent
from juggernaut.adapters.agents.codex import Codex
from juggernaut.adapters.agents.opencode import OpenCode
from juggernaut.adapters.sandboxes.bare import BareSandbox
from juggernaut.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from juggernaut.domain.agents import AgentEvent, EventKind
from juggernaut.domain.exchange import AgentRequest, AgentResult
from juggernaut.ports import Asker, Sandbox
from tests.adapters.agents.program import Model, Turn

FOLDER = os.environ.get("JUGGERNAUT_AGENTS_DIR")
PROGRAMS = {
    "claude-code": "@anthropic-ai/claude-code-linux-*/claude",
    "opencode": "opencode-linux-*/bin/opencode",
    "codex": "@openai/codex-linux-*/vendor/*/bin/codex",
}
CLIS: dict[str, Cli] = {cli.name: cli for cli in (ClaudeCode(), OpenCode(), Codex())}


def write(name: str, tree: Path, path: str, text: str) -> Turn:
    """Write a file with the program's own tool."""
    if name == "claude-code":
        return ("I write.", [("Write", {"file_path": str(tree / path), "content": text})])
    if name == "opencode":
        return ("I write.", [("write", {"filePath": str(tree / path), "content": text})])
    return run(name, f"printf '%s' '{text}' > '{tree / path}'")


def run(name: str, command: str) -> Turn:
    """Run a command with the program's own tool."""
    if name == "claude-code":
        return ("I run.", [("Bash", {"command": command})])
    if name == "opencode":
        return ("I run.", [("bash", {"command": command, "description": "run"})])
    return ("I run.", [("exec_command", {"cmd": command})])


@dataclass
class Real:
    """One program, ready to work."""

    name: str
    agent: CliAgent
    tree: Path
    sandbox: Sandbox
    told: list[AgentEvent]
    model: Model

    def write(self, path: str, text: str) -> Turn:
        """Write a file in the tree."""
        return write(self.name, self.tree, path, text)

    def run(self, command: str) -> Turn:
        """Run a command."""
        return run(self.name, command)

    async def do(self, turns: Sequence[Turn | BaseException], **more: Any) -> AgentResult:
        """Work by a script."""
        self.model = Model(turns)
        return await self.ask(self.model, **more)

    async def ask(self, ask: Asker, **more: Any) -> AgentResult:
        """Work with an asker."""
        given = {"timeout_seconds": 60.0, "max_turns": 8, "worktree": str(self.tree), **more}
        request = AgentRequest("Do the task.", "Be brief.", **given)
        return await self.agent.execute(request, ask, self.sandbox, self.told.append)

    def ends(self) -> int:
        """Count the ends that were told."""
        return [event.kind for event in self.told].count(EventKind.ENDED)


def found(name: str) -> Path:
    """Find a program, or skip the test."""
    if FOLDER is None:
        pytest.skip("needs JUGGERNAUT_AGENTS_DIR, as make test-agents sets it")
    places = sorted((Path(FOLDER) / "node_modules").glob(PROGRAMS[name]))
    if not places:
        pytest.skip(f"needs {name} in {FOLDER}: make test-agents")
    return places[0]


@pytest.fixture
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Real]:
    """Give what makes a program ready: by its name, and the level of its walls."""

    def made(name: str, level: str = "bubblewrap") -> Real:
        """Make one."""
        program = found(name)
        folder = tmp_path_factory.mktemp("real")
        tree = folder / "tree"
        tree.mkdir()
        bwrap = shutil.which("bwrap")
        if level == "bubblewrap" and bwrap is None:
            pytest.skip("needs bwrap")
        walls: Sandbox = (
            BubblewrapSandbox(bwrap, folder / "s")
            if bwrap and level == "bubblewrap"
            else BareSandbox(folder / "s")
        )
        agent = CliAgent(CLIS[name], folder / "agents", str(program))
        return Real(name, agent, tree, walls, [], Model([]))

    return made


@pytest.fixture(params=sorted(PROGRAMS))
def real(request: pytest.FixtureRequest, make: Callable[[str, str], Real]) -> Real:
    """Give each program in turn, in bubblewrap."""
    return make(request.param, "bubblewrap")
