"""The conformance suite of the CodeAgent port: what holds for every agent, by its effects."""

import asyncio
import math
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from juggernaut.adapters.agents.claude_code import ClaudeCode
from juggernaut.adapters.agents.cli import CliAgent
from juggernaut.adapters.sandboxes.bare import BareSandbox
from juggernaut.coder.loop import BuiltinAgent
from juggernaut.domain.agents import AgentEvent, EventKind
from juggernaut.domain.errors import BudgetExhausted, InvalidInput
from juggernaut.domain.exchange import (
    AgentRequest,
    ModelReply,
    ModelRequest,
    StopReason,
    ToolCall,
    Usage,
)
from juggernaut.ports import Asker, CodeAgent
from tests.adapters.agents.program import puppet_program

PROMPTS = Path(__file__).resolve().parents[2] / "config" / "prompts"


@pytest.fixture(params=["builtin", "program"])
def agent(request: pytest.FixtureRequest, tmp_path: Path) -> CodeAgent:
    """Give each agent that can be driven by a scripted model: ours, and a program."""
    if request.param == "builtin":
        return BuiltinAgent()
    return CliAgent(ClaudeCode(), tmp_path / "agents", str(puppet_program(tmp_path)))


def scripted(turns: Sequence[Sequence[ToolCall]]) -> Asker:
    """Make an asker that gives turns of tool calls in order."""
    rest = iter(turns)

    async def ask(request: ModelRequest) -> ModelReply:
        """Give the next turn."""
        assert request.messages
        return ModelReply(
            "", tuple(next(rest)), StopReason.TOOL, Usage(), "scripted/turns", Decimal(0)
        )

    return ask


def request(tree: Path) -> AgentRequest:
    """Make a request for a work tree."""
    return AgentRequest(prompt="Make x.", system="Scripted.", worktree=str(tree))


async def written(path: Path) -> None:
    """Wait until a file has a whole line."""
    deadline = time.monotonic() + 10
    while not path.exists() or "\n" not in path.read_text():
        assert time.monotonic() < deadline, f"{path} was not written"
        await asyncio.sleep(0.01)


async def test_it_has_a_name_and_capabilities(agent: CodeAgent) -> None:
    """The name stands in evidence; the prompt that it wants is there."""
    assert agent.name
    assert (PROMPTS / f"{agent.capabilities.prompt}.md").is_file()


async def test_it_changes_the_work_tree(agent: CodeAgent, tmp_path: Path) -> None:
    """What the model asks for is on disk when it says that it finished."""
    tree = tmp_path / "tree"
    tree.mkdir()
    turns = [
        [ToolCall("1", "write", {"path": "x", "content": "made"})],
        [ToolCall("2", "finish", {"summary": "x is made"})],
    ]
    told: list[AgentEvent] = []
    box = BareSandbox(tmp_path / "s")
    result = await agent.execute(request(tree), scripted(turns), box, told.append)
    assert (result.finished, result.summary, result.tool_uses) == (True, "x is made", 1)
    assert (tree / "x").read_text() == "made"
    assert AgentEvent(EventKind.TOOL, "write") in told
    assert [event.kind for event in told].count(EventKind.ENDED) == 1
    assert told[-1] == AgentEvent(EventKind.ENDED, "finished")


async def test_it_does_not_believe_a_bare_claim(agent: CodeAgent, tmp_path: Path) -> None:
    """Finished without a single use of a tool is not finished."""
    turns = [[ToolCall("1", "finish", {"summary": "trust me"})]]
    result = await agent.execute(request(tmp_path), scripted(turns), BareSandbox(tmp_path / "s"))
    assert not result.finished
    assert result.reason


async def test_an_empty_purse_is_raised(agent: CodeAgent, tmp_path: Path) -> None:
    """It is not the agent's to handle."""

    async def ask(request: ModelRequest) -> ModelReply:
        """Refuse."""
        raise BudgetExhausted(f"purse day cannot pay for {request.purpose}")

    with pytest.raises(BudgetExhausted, match="purse day"):
        await agent.execute(request(tmp_path), ask, BareSandbox(tmp_path / "s"))


async def test_cancellation_leaves_no_process(agent: CodeAgent, tmp_path: Path) -> None:
    """When the cancelled execution returns, its command is dead."""
    tree = tmp_path / "tree"
    tree.mkdir()
    code = "echo $$ > pid; exec sleep 300"
    turns = [[ToolCall("1", "run", {"argv": ["sh", "-c", code]})]]
    told: list[AgentEvent] = []
    box = BareSandbox(tmp_path / "s")
    task = asyncio.create_task(agent.execute(request(tree), scripted(turns), box, told.append))
    await written(tree / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not Path("/proc", (tree / "pid").read_text().strip()).exists()
    assert [event.kind for event in told].count(EventKind.ENDED) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": " "},
        {"timeout_seconds": 0.0},
        {"timeout_seconds": math.inf},
        {"timeout_seconds": math.nan},
        {"max_turns": 0},
    ],
)
def test_a_request_that_nobody_could_do_is_refused(wrong: dict[str, Any]) -> None:
    """An empty prompt, and bounds that leave no room."""
    good: dict[str, Any] = {"prompt": "Make x.", "system": "s", "worktree": "."}
    assert AgentRequest(**good).session is None
    with pytest.raises(InvalidInput, match="code agent"):
        AgentRequest(**{**good, **wrong})
