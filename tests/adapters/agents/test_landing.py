"""The landing turn of a program: one small call in its place, when it has ended at a bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from juggernaut.adapters.agents.landing import land
from juggernaut.domain import limits
from juggernaut.domain.errors import BudgetExhausted, ModelGarbled, ModelUnavailable
from juggernaut.domain.exchange import (
    AgentRequest,
    Message,
    ModelReply,
    ModelRequest,
    ToolCall,
    ToolResult,
    ToolSpec,
)
from juggernaut.domain.purse import Landing
from juggernaut.domain.tokens import most_tokens
from juggernaut.lifecycle.budget import landing_of
from tests.adapters.agents.program import NOTE, Model
from tests.adapters.agents.test_cli import FINISH, WRITE, Bench
from tests.fakes.puppets import PuppetModel

EMPTY = BudgetExhausted("purse day cannot pay")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Make a bench."""
    return Bench(tmp_path)


class Watch(Model):
    """A model that looks, when it is asked for the note, whether the program is alive."""

    pid: Path
    alive: bool | None = None

    async def __call__(self, request: ModelRequest) -> ModelReply:
        """Look, and answer."""
        if request.landing is Landing.TURN:
            self.alive = Path("/proc", self.pid.read_text().strip()).exists()
        return await super().__call__(request)


@pytest.mark.parametrize(
    ("bound", "reason"),
    [
        ({"max_turns": 2}, "out of turns after 2"),
        ({"timeout_seconds": 3.0}, "out of time after 3 s"),
        ({}, "the purse cannot pay for the next call"),
    ],
)
async def test_at_every_bound_it_lands_once(
    bench: Bench, bound: dict[str, Any], reason: str
) -> None:
    """The program is dead, no tool is offered, and money was kept from the first call on."""
    told = "echo $$ > pid; " + ("exec sleep 300" if "timeout_seconds" in bound else "echo seen")
    run = ("", [("run", {"argv": ["sh", "-c", told]})])
    watch = Watch([WRITE, run, FINISH if bound else EMPTY])
    watch.pid = bench.tree / "pid"
    request = AgentRequest("Make x.", "Rules.", str(bench.tree), **bound)
    got = await bench.agent.execute(request, watch, bench.sandbox, bench.told.append)
    assert (got.finished, got.reason, got.handoff) == (False, reason, NOTE)
    assert watch.alive is False
    *work, last = watch.requests
    assert {one.landing for one in work} == {Landing.KEPT_BARE}
    assert (last.landing, last.tools, last.force_tool) == (Landing.TURN, (), None)
    (asked,) = last.messages
    assert all(part in asked.text for part in (reason, "Make x.", "said: I write.", "run {"))
    assert ("-> seen" in asked.text) == ("timeout_seconds" not in bound)
    assert (bench.ends(), watch.landings) == (1, 1)


@pytest.mark.parametrize("note", ["", EMPTY, ModelGarbled("cut"), ModelUnavailable("overloaded")])
async def test_without_a_note_its_last_words_stand(bench: Bench, note: str | BaseException) -> None:
    """A model that cannot land is not asked again, and the run still ends in order."""
    bench.note = note
    got = await bench.run(WRITE, EMPTY)
    assert (got.handoff, got.purse) == ("I write.", str(EMPTY))
    assert (bench.ends(), bench.model.landings) == (1, 1)


async def test_where_no_bound_was_met_nothing_lands(bench: Bench) -> None:
    """Finished, unfinished, without a single turn, and at a purse that is empty at the start."""
    assert (await bench.run(WRITE, FINISH)).handoff is None
    assert bench.model.landings == 0
    assert (await bench.run(FINISH)).handoff is None
    assert bench.model.landings == 0
    with pytest.raises(BudgetExhausted):
        await bench.run(EMPTY)
    assert bench.model.landings == 0
    (bench.tree.parent / "claude").write_text("#!/bin/sh\nexec sleep 300\n")
    got = await bench.run(WRITE, timeout_seconds=1.0)
    assert got.handoff == "The agent left no note."
    assert bench.model.requests == []


@pytest.mark.parametrize("text", ["a", "\U0001f600", '"', "a\n"])
async def test_it_always_fits_what_was_set_aside(text: str) -> None:
    """However long all of it is; the program's own rules and tools are not paid for."""
    call = ToolCall("1", "write", {"content": text * 90_000})
    turn = (
        Message("assistant", text * 9_000, tool_calls=(call,)),
        Message("user", tool_results=(ToolResult("1", text * 90_000),)),
    )
    model = Model([])
    assert await land(model, "out of turns after 40", text * 90_000, turn * 30) == NOTE
    (last,) = model.requests
    long = ToolSpec("write", "d" * 90_000, {})
    first = ModelRequest(
        "code", "Rules." * 9_000, last.messages, (long,), landing=Landing.KEPT_BARE
    )
    aside = landing_of(PuppetModel({}), first).tokens
    assert most_tokens(last) <= aside < limits.LANDING_CHARS * 2
    assert text[0] in last.messages[0].text
