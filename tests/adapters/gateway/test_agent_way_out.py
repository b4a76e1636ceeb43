"""A code agent that is a program of its own has the same way out, and its model beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from juggernaut.adapters.agents.claude_code import ClaudeCode
from juggernaut.adapters.agents.cli import CliAgent
from juggernaut.adapters.gateway.sandbox import ProxyGateway
from juggernaut.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from juggernaut.domain.exchange import AgentRequest
from juggernaut.domain.network import Allowed, Contact
from tests.adapters.agents.program import Model, puppet_program

REACH = "import urllib.request; urllib.request.urlopen('https://not-allowed.example/')"
PORT = "import os; print(os.environ['NO_PROXY'], os.environ['https_proxy'].rsplit(':')[-1])"


async def test_an_agents_commands_find_the_proxy(tmp_path: Path) -> None:
    """One relay stands in the other: the model is reached past the proxy, the rest through it."""
    program = shutil.which("bwrap")
    if program is None:
        pytest.skip("needs bubblewrap (apt-get install bubblewrap)")
    told: list[Contact] = []

    async def tell(contact: Contact) -> None:
        """Keep what is told."""
        told.append(contact)

    tree = tmp_path / "tree"
    tree.mkdir()
    inner = BubblewrapSandbox(program, tmp_path / "scratch")
    entries = (Allowed("pypi.org", 443),)
    sandbox = ProxyGateway(tmp_path / "doors").through(inner, entries, tell)
    run = [("run", {"argv": ["python3", "-c", code]}) for code in (REACH, PORT)]
    model = Model([("", run), ("", [("finish", {"summary": "seen"})])])
    agent = CliAgent(ClaudeCode(), tmp_path / "agents", str(puppet_program(tree)))
    request = AgentRequest(prompt="Look.", system="Rules.", worktree=str(tree))
    result = await agent.execute(request, model, sandbox)
    assert (result.finished, result.notes) == (True, ())
    assert [(one.host, bool(one.refused)) for one in told] == [("not-allowed.example", True)]
    assert "127.0.0.1,localhost,::1 " in str(model.requests[-1].messages)
