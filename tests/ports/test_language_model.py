"""What every LanguageModel does, whatever is behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path

import pytest

from juggernaut.adapters.llm.scripted import ScriptedModel
from juggernaut.domain.errors import ModelRefused
from juggernaut.domain.exchange import Message, StopReason
from juggernaut.ports import LanguageModel
from tests.fakes.model_requests import WIRES, answered, ask, said, wire_model

SCRIPT = """
label: "scripted: conformance"
conversations:
  - purpose: plan
    contains: [Plan it]
    turns:
      - text: a plan
  - contains: [Fix the slug, test]
    turns:
      - text: I look first.
        tools:
          - {name: read, arguments: {path: "späß/a.py", deep: {list: [1, 2.5, null, true]}}}
          - {name: read, arguments: {}}
      - text: "The commit is {{sha}}."
        capture: {sha: "commit ([0-9a-f]{7})"}
"""

Start = Callable[[], LanguageModel]


@pytest.fixture(params=["scripted", *WIRES])
async def start(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Start]:
    """Give what makes a new instance of the same model, as a restart does."""
    path = tmp_path / "script.yaml"
    path.write_text(SCRIPT)
    if request.param == "scripted":
        yield lambda: ScriptedModel(path)
        return
    async with WIRES[request.param](path) as server:
        yield lambda: wire_model(request.param, server.url)


async def test_its_name_says_who_answers(start: Start) -> None:
    """The name in the ledger is provider/model."""
    provider, _, model = start().name.partition("/")
    assert provider in {"scripted", *WIRES}
    assert model


async def test_a_text_ends_the_turn_and_has_a_price(start: Start) -> None:
    """A reply without tools stops with END and costs more than nothing, within the bound."""
    model = start()
    request = ask("Plan it, please.", purpose="plan", tools=())
    reply = await model.complete(request)
    assert (reply.text, reply.tool_calls, reply.stop) == ("a plan", (), StopReason.END)
    assert Decimal(0) < reply.cost_usd <= model.max_price(request)
    assert reply.usage.input_tokens > 0
    assert reply.usage.output_tokens > 0
    assert reply.model


async def test_tools_are_asked_for_and_answered(start: Start) -> None:
    """A whole tool loop: ids are distinct, arguments arrive as they were written."""
    model = start()
    request = ask("Fix the slug")
    first = await model.complete(request)
    assert first.stop is StopReason.TOOL
    assert first.text == "I look first."
    assert [call.name for call in first.tool_calls] == ["read", "read"]
    assert len({call.id for call in first.tool_calls}) == 2
    assert first.tool_calls[0].arguments == {
        "path": "späß/a.py",
        "deep": {"list": [1, 2.5, None, True]},
    }
    assert first.tool_calls[1].arguments == {}
    result = answered(first, "commit 1a2b3c4 (HEAD)", is_error=True)
    second = await model.complete(ask("Fix the slug", said(first), result))
    assert (second.text, second.stop) == ("The commit is 1a2b3c4.", StopReason.END)


async def test_a_new_instance_goes_on_where_the_old_one_was(start: Start) -> None:
    """A restart in the middle of a conversation changes nothing."""
    first = await start().complete(ask("Fix the slug"))
    history = (said(first), answered(first, "commit 1a2b3c4"))
    second = await start().complete(ask("Fix the slug", *history))
    assert second.text == "The commit is 1a2b3c4."


async def test_a_forced_tool_is_called(start: Start) -> None:
    """A tool that must be called stops with TOOL, however the provider words it."""
    reply = await start().complete(ask("Fix the slug", force_tool="read"))
    assert reply.stop is StopReason.TOOL
    assert reply.tool_calls[0].name == "read"


async def test_calls_do_not_disturb_each_other(start: Start) -> None:
    """One instance answers several conversations at once."""
    model = start()
    requests = [ask("Fix the slug"), ask("Plan it", purpose="plan")] * 3
    replies = await asyncio.gather(*map(model.complete, requests))
    assert [reply.text for reply in replies] == ["I look first.", "a plan"] * 3


async def test_empty_turns_are_taken(start: Start) -> None:
    """A turn in which nothing was said, and a tool without output, are no bad request."""
    model = start()
    first = await model.complete(ask("Fix the slug"))
    history = (said(first), answered(first, ""), Message("user", "commit 1a2b3c4"))
    assert "1a2b3c4" in (await model.complete(ask("Fix the slug", *history))).text


async def test_the_bound_grows_with_the_request(start: Start) -> None:
    """A longer request never has a lower bound."""
    model = start()
    small, large = ask("Fix the slug"), ask("Fix the slug " * 1_000)
    assert Decimal(0) < model.max_price(small) <= model.max_price(large)


async def test_what_cannot_be_answered_is_refused(start: Start) -> None:
    """A refusal is an error of our tree and is not worth a retry."""
    with pytest.raises(ModelRefused, match="no conversation fits") as caught:
        await start().complete(ask("Something else"))
    assert not caught.value.retryable
