"""Claude Code, OpenCode and Codex themselves, against a scripted model behind the endpoint.

`make test-agents` installs them into a folder of their own and runs this. No key, no network.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from juggernaut.adapters.agents.story import CLAIMED
from juggernaut.adapters.forges.git import Git
from juggernaut.adapters.forges.workspace import GitWorkspaces
from juggernaut.adapters.llm.factory import ModelSpec, build_adapter
from juggernaut.domain.agents import EventKind
from juggernaut.domain.errors import BudgetExhausted, ModelRefused, ModelUnavailable
from juggernaut.domain.exchange import ModelReply, ModelRequest
from juggernaut.domain.purse import Landing
from tests.adapters.agents.program import NOTE, Model, Turn
from tests.adapters.forges.repos import make_origin
from tests.agents_real.conftest import Real
from tests.fakes.wire_anthropic import WireAnthropic
from tests.fakes.wire_server import KEY, Fault

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

DONE: Turn = ("Done: x says made.", [])


async def test_it_completes_a_task(real: Real) -> None:
    """A file written with its own tool, looked at with its own shell, and a summary."""
    got = await real.do([real.write("x", "made"), real.run("cat x; cat /proc/net/dev"), DONE])
    assert (got.finished, got.reason) == (True, "finished")
    assert got.summary == "Done: x says made."
    assert (real.tree / "x").read_text() == "made"
    assert got.turns == 3
    assert got.tool_uses == 2
    assert got.session
    seen = real.model.requests[-1].messages[-1].tool_results[0].text
    assert "made" in seen
    assert "eth" not in seen, "there is a network inside"
    assert real.ends() == 1
    assert sorted(path.name for path in real.tree.iterdir()) == ["x"]


@pytest.mark.parametrize("name", ["claude-code", "opencode", "codex"])
async def test_it_works_without_walls(make: Callable[[str, str], Real], name: str) -> None:
    """At the bare level too, which the result says."""
    real = make(name, "bare")
    got = await real.do([real.write("x", "made"), DONE])
    assert "sandbox level is bare" in got.notes[0]
    if name == "codex" and not got.finished:
        # Its own walls need namespaces, which this machine may refuse: then it runs nothing.
        assert got.reason == CLAIMED
        assert not (real.tree / "x").exists()
    else:
        assert got.finished, got.reason


async def test_it_goes_on_in_its_session(real: Real) -> None:
    """The second run knows the first: the model is shown all of it again."""
    first = await real.do([real.write("x", "made"), DONE])
    assert first.finished, first.reason
    turns: list[Turn | BaseException] = [DONE, DONE, real.write("y", "more"), DONE]
    again = await real.do(turns, session=first.session)
    assert again.finished, again.reason
    assert again.session == first.session
    assert "Done: x says made." in [message.text for message in real.model.requests[0].messages]
    assert (real.tree / "y").read_text() == "more"


async def test_an_unknown_session_is_no_success(real: Real) -> None:
    """And no other session is begun in its place."""
    where = (
        "ses_0123456789abcdef"
        if real.name == "opencode"
        else ("00000000-0000-4000-8000-000000000000")
    )
    got = await real.do([DONE], session=where)
    assert not got.finished
    assert got.turns == 0


async def test_outside_the_tree_nothing_is_written(real: Real) -> None:
    """Refused by its own permissions or by the walls; the file is not there."""
    outside = real.tree.parent / "outside"
    got = await real.do([real.write("../outside", "bad"), DONE])
    assert not outside.exists()
    if real.agent.capabilities.permissions:
        assert "not allowed" in got.reason
        assert EventKind.DENIED in {event.kind for event in real.told}


async def test_its_turns_are_counted(real: Real) -> None:
    """A model that never ends is ended."""
    got = await real.do([real.run("true")], max_turns=3)
    assert not got.finished
    assert got.reason.startswith("out of turns")
    assert len([request for request in real.model.requests if request.tools]) == 3
    assert (got.handoff, real.model.landings) == (NOTE, 1)


async def test_out_of_time_there_is_a_landing_turn(real: Real) -> None:
    """The program is dead by then; its wire told enough of what it did, in any format."""
    sleep = real.run("exec sleep 300")
    got = await real.do([real.write("x", "made"), sleep], timeout_seconds=15.0)
    assert (got.reason, got.handoff) == ("out of time after 15 s", NOTE)
    last = real.model.requests[-1]
    assert (last.landing, last.tools, real.model.landings) == (Landing.TURN, (), 1)
    asked = last.messages[0].text
    assert all(part in asked for part in ("Do the task.", "sleep 300", "->"))
    assert _running(str(real.agent.found()).encode(), real.tree) == []
    assert (real.tree / "x").read_text() == "made"
    assert real.ends() == 1


async def test_an_empty_purse_ends_it(real: Real) -> None:
    """It takes the refusal as final, and what it wrote is there."""
    got = await real.do([real.write("x", "made"), BudgetExhausted("purse day cannot pay")])
    assert got.purse == "purse day cannot pay"
    assert not got.finished
    assert (real.tree / "x").read_text() == "made"
    assert len([request for request in real.model.requests if request.tools]) == 2
    assert (got.handoff, real.model.landings) == (NOTE, 1)


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Fault.UNAUTHORIZED, ModelRefused), (Fault.OVERLOADED, ModelUnavailable)],
)
async def test_what_is_wrong_at_the_provider_comes_back(
    real: Real, fault: Fault, error: type[Exception]
) -> None:
    """A real adapter to a server that answers 401 or 529: that error, and no second try."""
    async with WireAnthropic(None, [fault] * 20) as server:
        spec = ModelSpec("anthropic", "claude-sonnet-5-5", api_key=KEY, base_url=server.url)
        model = build_adapter(spec)
        with pytest.raises(error):
            await real.ask(model.complete)
        assert len(server.requests) == 1
    assert real.ends() == 1
    assert KEY not in str(server.requests[0].body)


async def test_an_overload_that_passes_is_not_noticed(real: Real) -> None:
    """The asker tries again, as the purse's does; the program sees one slow answer."""
    script = Model([real.write("x", "made"), DONE])
    async with WireAnthropic(None, [Fault.OVERLOADED]) as server:
        spec = ModelSpec("anthropic", "claude-sonnet-5-5", api_key=KEY, base_url=server.url)
        model = build_adapter(spec)

        async def ask(request: ModelRequest) -> ModelReply:
            """Ask the provider until it answers; what it says is the script's."""
            with suppress(ModelUnavailable):
                await model.complete(request)
                return await script(request)
            return await ask(request)

        got = await real.ask(ask)
        assert len(server.requests) > len(script.requests)
    assert got.finished, got.reason
    assert (real.tree / "x").read_text() == "made"


@pytest.mark.parametrize("how", ["cancel", "kill"])
async def test_it_ends_in_the_middle(real: Real, how: str) -> None:
    """Cancelled by us, or killed by somebody: no process is left, one end, no success."""
    turns = [real.write("x", "made"), real.run("echo $$ > pid; exec sleep 300")]
    task = asyncio.create_task(real.do(turns))
    pid = real.tree / "pid"
    async with asyncio.timeout(60):
        while not pid.exists() or not pid.read_text().strip():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    program = str(real.agent.found()).encode()
    alive = _running(program, real.tree)
    assert alive
    if how == "cancel":
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        for number in alive:
            os.kill(number, signal.SIGTERM)
        got = await task
        assert not got.finished
        assert got.reason
    assert _running(program, real.tree) == []
    assert (real.ends(), real.model.landings) == (1, 0)
    assert (real.tree / "x").read_text() == "made"


async def test_the_diff_comes_from_git(real: Real, tmp_path: Path) -> None:
    """What is committed is what the tree holds, whatever the program said it did."""
    origin = make_origin(tmp_path, {"a.txt": "one\n"})
    spaces = GitWorkspaces(tmp_path / "own", Git("J", "j@localhost"))
    space = await spaces.open(origin.name, "feature/x", "try-1")
    real.tree = space.path
    lie: Turn = ("Done: I changed a.txt and nothing else.", [])
    got = await real.do([real.write("b.txt", "two"), lie])
    assert got.finished, got.reason
    change = await space.commit("Add b")
    assert change is not None
    assert list(change.files) == ["b.txt"]
    assert "+two" in change.diff
    await space.close()


def _running(program: bytes, tree: Path) -> list[int]:
    """Find the processes of a program that work in a tree."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                where = (entry / "cwd").readlink()
            except OSError:
                continue
            if words[0] == program and where == tree and shutil.which(words[0].decode()):
                found.append(int(entry.name))
    return found
