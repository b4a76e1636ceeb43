"""Requests and models that the tests of language models share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from juggernaut.adapters.llm.anthropic import AnthropicModel
from juggernaut.adapters.llm.openai import OpenAIModel
from juggernaut.adapters.llm.wire_model import Endpoint
from juggernaut.domain.exchange import Message, ModelReply, ModelRequest, ToolResult, ToolSpec
from juggernaut.ports import LanguageModel
from tests.fakes.wire_anthropic import WireAnthropic
from tests.fakes.wire_openai import WireOpenAI
from tests.fakes.wire_responses import WireResponses
from tests.fakes.wire_server import KEY, WireServer

READ: Final = ToolSpec(
    "read",
    "Read a file.",
    {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)
WIRES: Final[Mapping[str, type[WireServer]]] = {
    "anthropic": WireAnthropic,
    "openai": WireOpenAI,
    "responses": WireResponses,
}


def ask(text: str, *more: Message, purpose: str = "code", **changes: object) -> ModelRequest:
    """Make a request with one tool: the user's text, then more turns."""
    fields: dict[str, object] = {
        "purpose": purpose,
        "system": "You are a test.",
        "messages": (Message("user", text), *more),
        "tools": (READ,),
        **changes,
    }
    return ModelRequest(**fields)  # type: ignore[arg-type]


def said(reply: ModelReply) -> Message:
    """Give a reply as a turn of the conversation."""
    return Message("assistant", reply.text, tool_calls=reply.tool_calls)


def answered(reply: ModelReply, text: str, *, is_error: bool = False) -> Message:
    """Give one result for each tool call of a reply."""
    results = tuple(ToolResult(call.id, text, is_error) for call in reply.tool_calls)
    return Message("user", tool_results=results)


def wire_model(
    provider: str,
    url: str,
    *,
    model: str | None = None,
    timeout_seconds: float = 10.0,
    stall_seconds: float = 10.0,
) -> LanguageModel:
    """Make the real adapter for a server of ours; the usual models have no rules of their own."""
    who = "anthropic" if provider == "anthropic" else "openai"
    usual = {"anthropic": "claude-haiku-5-5", "openai": "gpt-5.4-mini"}[who]
    at = Endpoint(
        who,
        model or usual,
        KEY,
        url,
        timeout_seconds=timeout_seconds,
        stall_seconds=stall_seconds,
    )
    if who == "anthropic":
        return AnthropicModel(at)
    return OpenAIModel(at, responses=provider == "responses")
