"""The example and the table of docs/code-agents.md are so."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

from juggernaut.adapters.agents.cli import CliAgent
from juggernaut.adapters.sandboxes.bare import BareSandbox
from juggernaut.app.agents import registry
from juggernaut.app.settings import Settings
from juggernaut.domain.exchange import AgentRequest
from tests.adapters.agents.program import Model
from tests.docs.blocks import REPO

PAGE = (REPO / "docs/code-agents.md").read_text(encoding="utf-8")
SCRIBE = f"""#!{sys.executable} -I
import json, os, sys, urllib.request
tool = {{"type": "function", "function": {{"name": "file", "parameters": {{"type": "object"}}}}}}
said = [{{"role": "user", "content": sys.stdin.read()}}]
body = json.dumps({{"model": "m", "messages": said, "tools": [tool]}}).encode()
head = {{"authorization": "Bearer " + os.environ["SCRIBE_KEY"]}}
with urllib.request.urlopen(urllib.request.Request(sys.argv[1], body, head)) as answer:
    call = json.load(answer)["choices"][0]["message"]["tool_calls"][0]["function"]
given = json.loads(call["arguments"])
open(given["path"], "w").write(given["text"])
print(json.dumps({{"wrote": given["path"]}}))
print("this line is no JSON")
print(json.dumps({{"done": "wrote " + given["path"]}}))
"""


async def test_the_example_is_an_agent(tmp_path: Path) -> None:
    """The block of the page, with a program that does what it says."""
    source = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert source
    page = ModuleType("scribe")
    exec(source[1], page.__dict__)  # noqa: S102 - the page is ours
    program, tree = tmp_path / "scribe", tmp_path / "tree"
    program.write_text(SCRIBE)
    program.chmod(0o755)
    tree.mkdir()
    agent = CliAgent(page.Scribe(), tmp_path / "agents", str(program))
    model = Model([("", [("file", {"path": "x", "text": "made"})])])
    request = AgentRequest("Make x.", "Rules.", str(tree))
    got = await agent.execute(request, model, BareSandbox(tmp_path / "s"))
    assert (got.finished, got.summary) == (True, "wrote x"), got.reason
    assert (tree / "x").read_text() == "made"


def test_the_table_is_what_the_agents_can() -> None:
    """Each agent once, and its abilities."""
    rows = re.findall(r"^\| `([\w-]+)` \|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|", PAGE, re.MULTILINE)
    agents = registry(Settings(), Path("unused"))
    assert [row[0] for row in rows] == list(agents.names)
    for name, _, *told in rows:
        can = agents.make(name).capabilities
        given = [can.resume, can.permissions, can.turn_limit]
        assert [word.strip() == "yes" for word in told] == given, name
