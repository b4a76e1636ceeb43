"""One run of a code agent, as the log and the next run see it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from juggernaut.domain.agents import AgentEvent, Capabilities, EventKind, Tell, silent
from juggernaut.domain.exchange import AgentRequest, AgentResult
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.drive import drive, notes_of
from juggernaut.ports import Asker, Sandbox
from tests.adapters.agents.program import Model
from tests.fakes.puppets import PuppetAgent
from tests.roles.bench import FAKE_SECRET, Bench
from tests.roles.conftest import bench

__all__ = ["bench"]


class Resuming(PuppetAgent):
    """A puppet that can go on in a session, and tells what it does."""

    @property
    def capabilities(self) -> Capabilities:
        """Give what it can do."""
        return Capabilities(resume=True)

    async def execute(
        self, request: AgentRequest, ask: Asker, sandbox: Sandbox, tell: Tell = silent
    ) -> AgentResult:
        """Tell, and work."""
        tell(AgentEvent(EventKind.TOOL, f"Write {FAKE_SECRET}"))
        tell(AgentEvent(EventKind.RESULT, "Write", ok=False))
        got = await super().execute(request, ask, sandbox, tell)
        return replace(got, session="session-1", notes=("weak walls",))


async def test_a_run_is_logged_and_gone_on_from(bench: Bench, tmp_path: Path) -> None:
    """Events are counted, secrets taken out; only an agent that can goes on in its session."""
    await bench.add_task("code")
    claim = await bench.claim("executor")
    assert claim is not None
    request = AgentRequest("Do it.", "Rules.", str(tmp_path))
    for agent, session in ((Resuming({"x": "1"}), "session-1"), (PuppetAgent({"x": "1"}), None)):
        bench.use(agent=agent)
        attempt = Attempt(bench.services, claim.task, claim.lease)
        first = await drive(attempt, request, Model([]), [])
        again = await drive(attempt, request, Model([]), [replace(first, session="session-1")])
        assert [asked.session for asked in agent.requests] == [None, session]
    assert notes_of([replace(first, notes=("a",)), replace(again, notes=("a", "b"))]) == {
        "notes": ["a", "b"]
    }
    assert notes_of([first]) == {}
    rows = await bench.rows(
        "SELECT metadata FROM execution_logs WHERE action = 'agent_run' ORDER BY created_at"
    )
    assert len(rows) == 4
    said = json.loads(rows[0]["metadata"])
    assert said["events"] == {"tool": 1, "result failed": 1}
    assert said["trail"] == ["tool: Write [redacted]"]
    assert said["notes"] == ["weak walls"]
