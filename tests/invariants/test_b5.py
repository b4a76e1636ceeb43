"""B5: not only money is bounded: turns, seconds, calls, output, files, bytes of diffs and logs.

Each bound is reached once by real code, and once again with the bound taken away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from juggernaut.adapters.forges import diffcheck
from juggernaut.adapters.forges.worktree import Worktree
from juggernaut.coder.loop import BuiltinAgent
from juggernaut.domain import limits
from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.exchange import (
    AgentRequest,
    AgentResult,
    ModelReply,
    ModelRequest,
    StopReason,
    ToolCall,
    Usage,
)
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.ports import Asker
from tests.roles.bench import PYTHON, Bench

HUGE = 10**9
LONG = "x" * 200_000


def reply(*calls: ToolCall) -> ModelReply:
    """Make a reply that costs nothing."""
    return ModelReply("", calls, StopReason.TOOL, Usage(), "puppet/one", Decimal(0))


class Endless:
    """Asks for something new for ever, or for the same calls first; remembers what it was shown."""

    def __init__(self, *first: ToolCall) -> None:
        """Take the calls of the first turn."""
        self._first = first
        self.requests: list[ModelRequest] = []

    async def __call__(self, request: ModelRequest) -> ModelReply:
        """Answer."""
        self.requests.append(request)
        number = len(self.requests)
        if number == 1 and self._first:
            return reply(*self._first)
        return reply(ToolCall("1", "write", {"path": f"f{number}", "content": "x"}))

    def shown(self) -> list[str]:
        """Give what the calls of the first turn gave."""
        return [result.text for result in self.requests[1].messages[2].tool_results]


async def agent(
    bench: Bench, folder: Path, ask: Asker, turns: int = 3, seconds: float = 15.0
) -> AgentResult:
    """Let the agent work in an empty tree."""
    tree = folder / "tree"
    tree.mkdir(exist_ok=True)
    request = AgentRequest("Do it.", "rules", str(tree), None, turns, seconds)
    return await BuiltinAgent().execute(request, ask, bench.services.sandbox)


async def turns(bench: Bench, folder: Path) -> None:
    """A model that goes on for ever has AGENT_TURNS turns, and one to land."""
    ask = Endless()
    result = await agent(bench, folder, ask, turns=limits.AGENT_TURNS, seconds=60.0)
    assert result.turns == 40
    assert len(ask.requests) == 41


async def seconds(bench: Bench, folder: Path) -> None:
    """A command that sleeps is left when the time is up."""
    ask = Endless(ToolCall("1", "run", {"argv": ["sleep", "12"]}))
    begun = time.monotonic()
    most = min(0.3, limits.AGENT_SECONDS)
    await agent(bench, folder, ask, seconds=most)
    assert time.monotonic() - begun < 8


async def calls(bench: Bench, folder: Path) -> None:
    """A turn has a bounded number of calls."""
    many = [ToolCall(str(n), "write", {"path": f"f{n}", "content": "x"}) for n in range(20)]
    ask = Endless(*many)
    await agent(bench, folder, ask)
    assert sum("not done: at most" in text for text in ask.shown()) == 4


async def tool_output(bench: Bench, folder: Path) -> None:
    """What a command prints is cut before a model reads it."""
    ask = Endless(ToolCall("1", "run", {"argv": [PYTHON, "-c", "print('x' * 200000)"]}))
    await agent(bench, folder, ask)
    assert len(ask.shown()[0]) < 13_000


async def command_output(bench: Bench, folder: Path) -> None:
    """What a command prints is cut before this process holds it."""
    argv = (PYTHON, "-c", "print('x' * 3_000_000)")
    result = await bench.services.sandbox.run(argv, folder, timeout_seconds=15)
    assert result.truncated
    assert len(result.output) < 1_100_000


async def context(bench: Bench, folder: Path) -> None:
    """A conversation does not grow without end."""
    tree = folder / "tree"
    tree.mkdir()
    (tree / "big.txt").write_text("line of text\n" * 20_000)
    reads = [ToolCall(str(n), "read", {"path": "big.txt", "start": 1 + n * 400}) for n in range(16)]

    async def ask(request: ModelRequest) -> ModelReply:
        """Read for ever."""
        size = sum(len(r.text) for turn in request.messages for r in turn.tool_results)
        assert size < 250_000
        return reply(*reads)

    await agent(bench, folder, ask, turns=6)


async def one_file(bench: Bench, folder: Path) -> None:
    """A file that a model writes has a bounded size."""
    content = "x" * (3 * limits.MIB)
    ask = Endless(ToolCall("1", "write", {"path": "big", "content": content}))
    await agent(bench, folder, ask)
    assert not (folder / "tree" / "big").exists()


async def refused(bench: Bench, fill: Callable[[Path], None], why: str) -> None:
    """The change of a work tree is refused."""
    space = await bench.services.workspaces.open(bench.origin.name, "feature/b5", "b5")
    try:
        fill(space.path)
        try:
            await space.commit("too much")
        except InvalidInput as error:
            assert why in str(error)
        else:
            raise AssertionError("a change without bounds was committed")
    finally:
        await space.close()


async def files(bench: Bench, folder: Path) -> None:
    """A change has a bounded number of files."""

    def fill(tree: Path) -> None:
        """Write 201 files."""
        for number in range(201):
            (tree / f"f{number}").write_text("x")

    await refused(bench, fill, "201 files")


async def diff_bytes(bench: Bench, folder: Path) -> None:
    """A change has a bounded length."""

    def fill(tree: Path) -> None:
        """Write 3 MiB of lines in three files."""
        for number in range(3):
            (tree / f"f{number}").write_text("a line of a file\n" * 62_000)

    await refused(bench, fill, "too long")


async def log_bytes(bench: Bench, folder: Path) -> None:
    """A line of the log has a bounded length."""
    await bench.add_task("command")
    found = await bench.claim("executor")
    assert found is not None
    attempt = Attempt(bench.services, found.task, found.lease)
    await attempt.log("noise", LONG[:15_000], metadata={"more": LONG[:15_000]})
    (row,) = await bench.rows(
        "SELECT length(message) AS n, length(metadata::text) AS m FROM execution_logs"
    )
    assert row["n"] <= 8_000
    assert row["m"] < 9_000


Check = Callable[[Bench, Path], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Bound:
    """A check, and where its bound can be taken away."""

    check: Check
    place: object
    name: str


BOUNDS = (
    Bound(turns, limits, "AGENT_TURNS"),
    Bound(calls, limits, "TOOL_CALLS_PER_TURN"),
    Bound(tool_output, limits, "TOOL_OUTPUT_CHARS"),
    Bound(command_output, limits, "COMMAND_OUTPUT_BYTES"),
    Bound(context, limits, "CONTEXT_CHARS"),
    Bound(one_file, limits, "EDIT_FILE_BYTES"),
    Bound(files, diffcheck, "DIFF_FILES"),
    Bound(log_bytes, "juggernaut.lifecycle.attempt", "LOG_MESSAGE_CHARS"),
)


@pytest.mark.parametrize("check", [*(b.check for b in BOUNDS), seconds, diff_bytes])
async def test_a_bound_is_reached(bench: Bench, tmp_path: Path, check: Check) -> None:
    """And it holds."""
    await check(bench, tmp_path)


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.name)
async def test_mutants(
    bench: Bench, tmp_path: Path, bound: Bound, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its bound each check is red."""
    instead = 50 if bound.name == "AGENT_TURNS" else HUGE
    place = bound.place
    if isinstance(place, str):
        monkeypatch.setattr(f"{place}.{bound.name}", instead)
    else:
        monkeypatch.setattr(place, bound.name, instead)
    with pytest.raises(AssertionError):
        await bound.check(bench, tmp_path)


async def test_mutant_of_the_diff(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bound is a default value."""
    monkeypatch.setattr(Worktree._bounded, "__kwdefaults__", {"max_bytes": HUGE})
    with pytest.raises(AssertionError):
        await diff_bytes(bench, tmp_path)


@pytest.mark.timeout(60)
async def test_mutant_of_the_clock(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent whose time is not kept waits for its command."""

    def never(_: float) -> asyncio.Timeout:
        """Give a time-out that does not come."""
        return asyncio.timeout_at(None)

    monkeypatch.setattr("juggernaut.coder.loop.asyncio", SimpleNamespace(timeout=never))
    with pytest.raises(AssertionError):
        await seconds(bench, tmp_path)
