"""The models that the shipped configuration names take what the adapters send."""

from __future__ import annotations

from pathlib import Path

import pytest

from juggernaut.adapters.llm.dialect import Dialect, first_dialect
from juggernaut.adapters.llm.failures import provider_message
from juggernaut.adapters.llm.script import Heard
from juggernaut.domain.errors import ModelRefused
from juggernaut.domain.exchange import StopReason
from tests.fakes.model_requests import WIRES, ask, wire_model
from tests.fakes.wire_anthropic import WireAnthropic
from tests.fakes.wire_server import Body, Refused

SCRIPT = """
label: dialect
conversations:
  - contains: [hello]
    turns: [{tools: [{name: read, arguments: {path: a.py}}]}]
"""
MODELS = [
    ("anthropic", "claude-sonnet-5-5", 2),
    ("anthropic", "claude-haiku-5-5", 1),
    ("openai", "gpt-6.1-sol", 3),
    ("openai", "gpt-6-luna", 3),
    ("openai", "gpt-5.4-mini", 1),
]


@pytest.mark.parametrize(("provider", "model", "requests"), MODELS)
async def test_a_refused_wording_is_changed_and_remembered(
    tmp_path: Path, provider: str, model: str, requests: int
) -> None:
    """A forced tool is called by every model; the second call knows how at once."""
    path = tmp_path / "script.yaml"
    path.write_text(SCRIPT)
    async with WIRES[provider](path) as server:
        adapter = wire_model(provider, server.url, model=model)
        for total in (requests, requests + 1):
            reply = await adapter.complete(ask("hello", force_tool="read"))
            assert reply.stop is StopReason.TOOL
            assert len(server.requests) == total


async def test_a_tool_that_cannot_be_forced_is_asked_for(tmp_path: Path) -> None:
    """The prompt names it, after everything else."""
    async with WIRES["anthropic"]() as server:
        adapter = wire_model("anthropic", server.url, model="claude-sonnet-5-5")
        await adapter.complete(ask("hello", force_tool="read"))
        await adapter.complete(ask("hello"))
    forced, worded, free = (seen.body for seen in server.requests)
    assert forced["tool_choice"] == {"type": "tool", "name": "read"}
    assert "tool_choice" not in worded
    assert worded["system"][0]["text"].endswith("Answer by calling the tool read.")
    assert free["system"][0]["text"] == "You are a test."


def test_each_form_is_tried_once() -> None:
    """A refusal that goes on is final."""
    dialect = Dialect()
    for words in ("tool_choice", "use max_completion_tokens", "reasoning_effort"):
        other = dialect.after(f"refused: {words}")
        assert other is not None
        assert other.after(f"refused: {words}") is None
        dialect = other
    assert dialect == Dialect(may_force=False, limit="max_completion_tokens", effort_none=True)
    assert Dialect().after("something else") is None


class Stubborn(WireAnthropic):
    """Complains of tool_choice whatever is sent."""

    def heard(self, body: Body) -> Heard:
        """Refuse."""
        raise Refused(400, "tool_choice: no")


async def test_a_refusal_that_goes_on_is_raised() -> None:
    """No loop: each form is tried once, then the call has failed."""
    async with Stubborn() as server:
        with pytest.raises(ModelRefused, match="tool_choice: no"):
            await wire_model("anthropic", server.url).complete(ask("hello", force_tool="read"))
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("base_url", "limit"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://me.openai.azure.com/x", "max_completion_tokens"),
        ("https://openrouter.ai/api/v1", "max_tokens"),
        ("http://127.0.0.1:8080/v1", "max_tokens"),
    ],
)
def test_the_first_form_depends_on_the_host(base_url: str, limit: str) -> None:
    """OpenAI refuses the old name; a compatible server may ignore the new one."""
    assert first_dialect(base_url).limit == limit


def test_the_words_behind_openrouter_are_heard() -> None:
    """Its own message says nothing; the provider's words are in the metadata."""
    error = {"message": "Provider returned error", "metadata": {"raw": "tool_choice: no"}}
    assert provider_message({"error": error}) == "Provider returned error tool_choice: no"
