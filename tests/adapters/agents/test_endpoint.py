"""The model endpoint of a run, asked by the providers' own libraries over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from juggernaut.adapters.agents.endpoint import Endpoint
from juggernaut.adapters.agents.wire import Format
from juggernaut.adapters.agents.wire_chat import Chat
from juggernaut.adapters.agents.wire_messages import Messages
from juggernaut.adapters.agents.wire_responses import Responses
from juggernaut.domain import limits
from juggernaut.domain.errors import (
    BudgetExhausted,
    ModelGarbled,
    ModelRefused,
    ModelUnavailable,
)
from juggernaut.domain.exchange import Message, ToolCall, ToolResult
from tests.adapters.agents.program import Model, Turn

KEY = "FAKE-one-time-key"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
WRITE: Turn = ("I write.", [("write", {"path": "x"}), ("write", {"path": "y"})])
DONE: Turn = ("Done.", [])
FORMATS: tuple[Format, ...] = (Messages(), Chat(), Responses())


@asynccontextmanager
async def serving(
    form: Format, turns: Sequence[Turn | BaseException], most: int = 5
) -> AsyncIterator[tuple[Endpoint, Model, str]]:
    """Serve an endpoint at a port of the loopback."""
    model = Model(turns)
    endpoint = Endpoint(form, model, KEY, most)
    async with await asyncio.start_server(endpoint.accept, "127.0.0.1", 0) as server:
        yield endpoint, model, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await endpoint.close()


def body_of(form: Format, text: str = "Do it.", *, tools: bool = True) -> dict[str, Any]:
    """Make the smallest request of a format."""
    function = {"name": "write", "description": "d", "parameters": SCHEMA}
    if isinstance(form, Messages):
        offered: list[Any] = [{"name": "write", "input_schema": SCHEMA}]
    elif isinstance(form, Chat):
        offered = [{"type": "function", "function": function}]
    else:
        offered = [{"type": "function", **function}]
    said = [{"role": "user", "content": text}]
    more = {"tools": offered} if tools else {}
    return {"model": "m", ("input" if isinstance(form, Responses) else "messages"): said, **more}


async def post(
    address: str, form: Format, body: object, key: str = KEY, path: str | None = None
) -> httpx2.Response:
    """Post a body as it is."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with httpx2.AsyncClient() as client:
        return await client.post(
            f"{address}{path or form.path}", content=raw, headers={"authorization": f"Bearer {key}"}
        )


@pytest.mark.parametrize("stream", [False, True])
async def test_messages_are_understood_by_their_library(*, stream: bool) -> None:
    """Text, two calls with arguments, counts, and the second turn with its results."""
    async with (
        serving(Messages(), [WRITE, DONE]) as (endpoint, model, address),
        anthropic.AsyncAnthropic(base_url=address, api_key=KEY, max_retries=0) as client,
    ):
        said: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "Do it."}]}]
        given: dict[str, Any] = {
            "model": "juggernaut",
            "max_tokens": limits.REPLY_TOKENS + 1,
            "system": [{"type": "text", "text": "Rules.", "cache_control": {"type": "ephemeral"}}],
            "tools": [
                {"name": "write", "description": "d", "input_schema": SCHEMA},
                {"type": "web_search_20250305", "name": "web_search"},
            ],
        }
        for _ in range(2):
            if stream:
                async with client.messages.stream(messages=said, **given) as events:
                    message = await events.get_final_message()
            else:
                message = await client.messages.create(messages=said, **given)
            calls = [block for block in message.content if block.type == "tool_use"]
            said.append({"role": "assistant", "content": [b.to_dict() for b in message.content]})
            got = [{"type": "tool_result", "tool_use_id": c.id, "content": "ok"} for c in calls[:1]]
            image = {"type": "image", "source": {"type": "base64", "data": "x"}}
            said.append({"role": "user", "content": [*got, image]})
            if calls:
                assert message.stop_reason == "tool_use"
                assert [call.input for call in calls] == [{"path": "x"}, {"path": "y"}]
        assert message.stop_reason == "end_turn"
        assert message.usage.output_tokens == 5
        assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (7, 3)
    second = model.requests[1]
    assert (second.system, second.max_tokens) == ("Rules.", limits.REPLY_TOKENS)
    assert [tool.name for tool in second.tools] == ["write"]
    assert second.messages[0] == Message("user", "Do it.")
    assert [call.arguments for call in second.messages[1].tool_calls] == [
        {"path": "x"},
        {"path": "y"},
    ]
    # A result that the agent lost is filled in: a provider refuses a call without one.
    assert [result.is_error for result in second.messages[2].tool_results] == [False, True]
    assert len(endpoint.notes.said) == 2
    assert endpoint.turns == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_chat_is_understood_by_its_library(*, stream: bool) -> None:
    """The same by Chat Completions."""
    async with (
        serving(Chat(), [WRITE, DONE]) as (_, model, address),
        openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0) as client,
    ):
        said: list[Any] = [
            {"role": "system", "content": "Rules."},
            {"role": "user", "content": "Do it."},
        ]
        tools: Any = body_of(Chat())["tools"]
        for _ in range(2):
            if stream:
                async with client.chat.completions.stream(
                    model="m", messages=said, tools=tools, stream_options={"include_usage": True}
                ) as events:
                    whole: Any = await events.get_final_completion()
            else:
                whole = await client.chat.completions.create(model="m", messages=said, tools=tools)
            message = whole.choices[0].message
            said.append(message.to_dict())
            for call in message.tool_calls or ():
                said.append({"role": "tool", "tool_call_id": call.id, "content": "ok"})
                assert json.loads(call.function.arguments)["path"] in {"x", "y"}
        assert (message.content, whole.choices[0].finish_reason) == ("Done.", "stop")
        assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (12, 5)
    second = model.requests[1]
    assert second.system == "Rules."
    assert [len(turn.tool_calls) for turn in second.messages] == [0, 2, 0]
    assert [result.text for result in second.messages[2].tool_results] == ["ok", "ok"]


@pytest.mark.parametrize("stream", [False, True])
async def test_responses_are_understood_by_their_library(*, stream: bool) -> None:
    """The same by Responses."""
    async with (
        serving(Responses(), [WRITE, DONE]) as (endpoint, model, address),
        openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0) as client,
    ):
        said: list[Any] = [
            {"role": "developer", "content": [{"type": "input_text", "text": "More rules."}]},
            {"role": "user", "content": [{"type": "input_text", "text": "Do it."}]},
            {"type": "reasoning", "id": "r", "summary": []},
        ]
        tools: Any = [*body_of(Responses())["tools"], {"type": "web_search"}]
        for _ in range(2):
            given = {"model": "m", "instructions": "Rules.", "input": said, "tools": tools}
            if stream:
                async with client.responses.stream(**given) as events:
                    whole: Any = await events.get_final_response()
            else:
                whole = await client.responses.create(**given)
            said += [item.to_dict() for item in whole.output]
            for item in whole.output:
                if item.type == "function_call":
                    assert json.loads(item.arguments)["path"] in {"x", "y"}
                    where = {"call_id": item.call_id, "output": "ok"}
                    said.append({"type": "function_call_output", **where})
        assert (whole.output_text, whole.status) == ("Done.", "completed")
        assert (whole.usage.input_tokens, whole.usage.output_tokens) == (12, 5)
    second = model.requests[1]
    assert second.system == "Rules.\n\nMore rules."
    assert [len(turn.tool_calls) for turn in second.messages] == [0, 2, 0]
    assert [result.text for result in second.messages[2].tool_results] == ["ok", "ok"]
    assert len(endpoint.notes.said) == 2


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.path)
async def test_who_has_not_the_key_gets_nothing(form: Format) -> None:
    """Nor does another path; a probe of the address is answered."""
    async with serving(form, [DONE]) as (endpoint, model, address):
        for key in ("FAKE-other", KEY + "x", "x"):
            assert (await post(address, form, body_of(form), key)).status_code == 401
        for path in ("/", "/v1/models", f"{form.path}/x"):
            assert (await post(address, form, body_of(form), path=path)).status_code == 404
        async with httpx2.AsyncClient() as client:
            assert (await client.head(address)).status_code == 200
            assert (await client.get(address)).status_code == 401
    assert model.requests == []
    assert not endpoint.stopped.is_set()


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.path)
async def test_nonsense_is_refused_and_costs_nothing(form: Format) -> None:
    """Text that is no JSON, wrong types at every place, depth, no message at all."""
    inside = "input" if isinstance(form, Responses) else "messages"
    good = body_of(form)
    wrong: list[object] = [
        b"",
        b"{",
        b"[" * 100_000,
        [],
        {},
        {**good, inside: 7},
        {**good, inside: [7]},
        {**good, inside: []},
        {**good, inside: [{"role": "user", "content": [{"type": "text", "text": 7}]}]},
        {**good, "tools": {"a": 1}},
        {**good, "tools": [7]},
    ]
    async with serving(form, [DONE]) as (endpoint, model, address):
        for body in wrong:
            assert (await post(address, form, body)).status_code == 400, body
        assert (await post(address, form, good)).status_code == 200
    assert len(model.requests) == 1
    assert endpoint.turns == 1


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.path)
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BudgetExhausted("purse day cannot pay"), 403),
        (ModelRefused("no such key"), 401),
        (ModelUnavailable("overloaded"), 529),
        (ModelGarbled("cut off"), 502),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_error_of_the_asker_is_final(
    form: Format, error: BudgetExhausted, status: int
) -> None:
    """It is said in the agent's format, kept for the caller, and nothing is asked again."""
    async with serving(form, [error]) as (endpoint, model, address):
        answer = await post(address, form, body_of(form))
        assert answer.status_code == status
        assert answer.json()["error"]["message"] == str(error)
        assert (await post(address, form, body_of(form))).status_code == 403
        assert endpoint.stopped.is_set()
    assert endpoint.failure is error
    assert len(model.requests) == 1
    assert endpoint.turns == 0


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.path)
async def test_calls_are_capped(form: Format) -> None:
    """Turns by the request's bound, calls without tools by one of our own."""
    async with serving(form, [DONE], most=2) as (endpoint, model, address):
        got = [(await post(address, form, body_of(form))).status_code for _ in range(4)]
        assert got == [200, 200, 403, 403]
    assert (endpoint.bound, endpoint.turns, len(model.requests)) == ("out of turns after 2", 2, 2)
    async with serving(form, [DONE]) as (endpoint, model, address):
        for _ in range(limits.AGENT_SIDE_CALLS + 2):
            answer = await post(address, form, body_of(form, tools=False))
        assert answer.status_code == 403
    assert len(model.requests) == limits.AGENT_SIDE_CALLS
    assert endpoint.turns == 0


async def test_tokens_are_counted_without_a_call() -> None:
    """Claude Code asks how long a prompt is."""
    async with serving(Messages(), [DONE]) as (_, model, address):
        path = "/v1/messages/count_tokens"
        answer = await post(address, Messages(), body_of(Messages()), path=path)
        assert answer.json()["input_tokens"] > 0
    assert model.requests == []


async def test_a_call_is_paid_for_though_its_agent_is_gone() -> None:
    """Who hangs up does not take a reply back that is under way."""
    asked, go, paid = asyncio.Event(), asyncio.Event(), asyncio.Event()
    inner = Model([DONE])

    async def slow(request: Any) -> Any:
        """Wait for the word."""
        asked.set()
        await go.wait()
        reply = await inner(request)
        paid.set()
        return reply

    endpoint = Endpoint(Messages(), slow, KEY, 5)
    async with await asyncio.start_server(endpoint.accept, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        task = asyncio.create_task(post(address, Messages(), body_of(Messages())))
        await asked.wait()
        task.cancel()
        closing = asyncio.create_task(endpoint.close())
        go.set()
        await closing
        assert paid.is_set()


def test_a_tool_result_keeps_its_call() -> None:
    """Text between calls and results does not part them; orphans are left out."""
    said = [
        {"role": "user", "content": "a"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{bad"}}
            ],
        },
        {"role": "user", "content": "between"},
        {"role": "tool", "tool_call_id": "1", "content": "r"},
        {"role": "tool", "tool_call_id": "9", "content": "orphan"},
    ]
    call = Chat().read({"messages": said}, Endpoint(Chat(), Model([DONE]), KEY, 1).notes)
    assert call.request.messages == (
        Message("user", "a"),
        Message("assistant", tool_calls=(ToolCall("1", "f", {"unreadable": "{bad"}),)),
        Message("user", "between", tool_results=(ToolResult("1", "r"),)),
    )
