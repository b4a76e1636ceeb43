"""The landing turn: at every bound one small last call, for a note and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from juggernaut.domain import limits
from juggernaut.domain.errors import BudgetExhausted, ModelGarbled, ModelRefused
from juggernaut.domain.exchange import Message
from juggernaut.domain.purse import Landing
from juggernaut.domain.tokens import most_tokens
from tests.coder.test_loop import LOOK, Bench, Script, call, says

EMPTY = BudgetExhausted("purse goal:1: cap 1, spent 0.9, reserved 0.1, the next call may cost 0.2")
NOTE = says("", call("finish", summary="add is half fixed; run check.py next"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Give a fresh bench."""
    return Bench(tmp_path)


async def test_an_empty_purse_leaves_time_for_a_note(bench: Bench) -> None:
    """The purse's own words come back with the note; only finish is offered."""
    script = Script(LOOK, EMPTY, NOTE)
    result = await bench.work(script)
    assert (result.finished, result.handoff) == (False, "add is half fixed; run check.py next")
    assert result.purse == str(EMPTY)
    last = script.requests[-1]
    assert [spec.name for spec in last.tools] == [last.force_tool] == ["finish"]
    assert [request.landing for request in script.requests] == [
        *(Landing.KEPT, Landing.KEPT, Landing.TURN)
    ]
    assert "Fix add." in script.heard() and 'read {"path": "calc.py"}' in script.heard()


async def test_the_first_call_has_nothing_to_land(bench: Bench) -> None:
    """A purse that is empty from the start is the caller's to hear of."""
    script = Script(EMPTY)
    with pytest.raises(BudgetExhausted, match="purse goal:1"):
        await bench.work(script)
    assert len(script.requests) == 1


@pytest.mark.parametrize("error", [EMPTY, ModelGarbled("cut"), ModelRefused("401")])
async def test_a_model_that_cannot_land_is_not_asked_again(
    bench: Bench, error: BaseException
) -> None:
    """The work still ends in order, with a note that says so."""
    script = Script(LOOK, EMPTY, error)
    result = await bench.work(script)
    assert result.handoff == f"The model left no note: {error}"
    assert len(script.requests) == 3


async def test_a_landing_turn_does_nothing_but_talk(bench: Bench) -> None:
    """A tool that is asked for there is not used."""
    result = await bench.work(Script(LOOK, EMPTY, says("", call("write", path="x", content="y"))))
    assert result.handoff == "The model left no note"
    assert not (bench.tree / "x").exists()


@pytest.mark.parametrize("text", ["a", "\U0001f600", '"', "a\n"])
async def test_it_always_fits_what_was_set_aside(bench: Bench, text: str) -> None:
    """However long the task and the results are, and whatever they are made of."""
    (bench.tree / "big.txt").write_text(text * 100_000)
    bench.request = replace(bench.request, prompt=text * 90_000)
    look = says("", call("read", path="big.txt"))
    script = Script(look, says("", call("search", pattern="add")), EMPTY, NOTE)
    await bench.work(script)
    first, last = script.requests[0], script.requests[-1]
    full = Message("user", "x" * limits.LANDING_CHARS)
    aside = replace(first, messages=(full,), max_tokens=limits.LANDING_TOKENS)
    assert most_tokens(last) <= most_tokens(aside)
