"""Both SDK adapters against real servers on which everything goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from juggernaut.domain import limits
from juggernaut.domain.errors import ModelError, ModelGarbled, ModelRefused, ModelUnavailable
from juggernaut.domain.exchange import StopReason, Usage
from juggernaut.ports import LanguageModel
from tests.fakes.model_requests import WIRES, ask, wire_model
from tests.fakes.wire_server import KEY, RETRY_AFTER_SECONDS, Fault, WireServer


@dataclass(frozen=True, slots=True)
class Wire:
    """An adapter and the server that it speaks to."""

    provider: str
    server: WireServer
    model: LanguageModel


@pytest.fixture(params=[*WIRES])
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    """Give an adapter with a running server."""
    async with WIRES[request.param]() as server:
        yield Wire(request.param, server, wire_model(request.param, server.url))


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault.UNAUTHORIZED, ModelRefused, "401: the key [key] is not valid); check the API key"),
        (Fault.BAD_REQUEST, ModelRefused, "400: messages: something is wrong with them"),
        (Fault.NO_SUCH_MODEL, ModelRefused, "check the model's name"),
        (Fault.REDIRECT, ModelRefused, "the base URL redirects"),
        (Fault.REFUSAL, ModelRefused, "gave no answer"),
        (Fault.RATE_LIMITED, ModelUnavailable, "429: too many requests"),
        (Fault.SERVER_ERROR, ModelUnavailable, "500: internal error"),
        (Fault.OVERLOADED, ModelUnavailable, "529: overloaded"),
        (Fault.DISCONNECT, ModelUnavailable, "could not be reached or hung up"),
        (Fault.CUT_BODY, ModelUnavailable, "could not be reached or hung up"),
        (Fault.GARBLED, ModelGarbled, "not valid JSON"),
        (Fault.NOT_AN_OBJECT, ModelGarbled, "not a JSON object but list"),
        (Fault.NO_STOP, ModelGarbled, "cut off"),
        (Fault.STRANGE_STOP, ModelGarbled, "unknown"),
        (Fault.BAD_ARGUMENTS, ModelGarbled, "a"),
        (Fault.CONTEXT_OVERFLOW, ModelRefused, "400: prompt is too long"),
        (Fault.TRUNCATED, ModelGarbled, "cut off"),
        (Fault.ERROR_INSIDE, ModelUnavailable, "overloaded"),
        (Fault.FLOOD, ModelGarbled, f"more than {limits.MODEL_REPLY_BYTES} bytes"),
    ],
)
async def test_each_fault_is_an_error_of_our_own(
    wire: Wire, fault: Fault, kind: type[ModelError], words: str
) -> None:
    """The right branch of the tree, words that help, no key, no SDK behind it, one request."""
    wire.server.fail_next(fault)
    with pytest.raises(ModelError) as caught:
        await wire.model.complete(ask("hello"))
    error = caught.value
    assert type(error) is kind
    assert words in str(error)
    assert KEY not in repr(error)
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    assert len(wire.server.requests) == 1


async def test_a_pause_that_the_provider_asks_for_is_kept(wire: Wire) -> None:
    """Retry-After comes along with the error; without it there is none."""
    wire.server.fail_next(Fault.RATE_LIMITED, Fault.OVERLOADED)
    with pytest.raises(ModelUnavailable) as limited:
        await wire.model.complete(ask("hello"))
    with pytest.raises(ModelUnavailable) as overloaded:
        await wire.model.complete(ask("hello"))
    assert limited.value.retry_after_seconds == RETRY_AFTER_SECONDS
    assert overloaded.value.retry_after_seconds is None


async def test_a_stalled_provider_runs_into_the_limit(wire: Wire) -> None:
    """The request's own limit ends a call that gets no reply."""
    wire.server.fail_next(Fault.STALL)
    with pytest.raises(ModelUnavailable, match=r"no full reply within 0\.2 s"):
        await wire.model.complete(ask("hello", timeout_seconds=0.2))


async def test_cancelling_a_call_ends_it(wire: Wire) -> None:
    """An attempt that lost its lease does not wait for a model."""
    wire.server.fail_next(Fault.STALL)
    call = asyncio.create_task(wire.model.complete(ask("hello")))
    await asyncio.to_thread(wire.server.wait_for_request)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_nobody_listening_is_unavailable(wire: Wire) -> None:
    """A closed port is worth another try later."""
    model = wire_model(wire.provider, "http://127.0.0.1:9")
    with pytest.raises(ModelUnavailable, match="could not be reached"):
        await model.complete(ask("hello"))


async def test_no_count_costs_all_that_was_reserved(wire: Wire) -> None:
    """A reply without usage never counts as free."""
    request = ask("hello")
    wire.server.fail_next(Fault.NO_USAGE)
    reply = await wire.model.complete(request)
    assert reply.text == "ok"
    assert reply.usage == Usage()
    assert reply.cost_usd == wire.model.max_price(request) > 0


async def test_a_reply_cut_at_its_limit_says_so(wire: Wire) -> None:
    """LENGTH is an answer, and the caller's business."""
    wire.server.fail_next(Fault.CUT_AT_LIMIT)
    reply = await wire.model.complete(ask("hello"))
    assert (reply.stop, reply.tool_calls) == (StopReason.LENGTH, ())


async def test_cached_tokens_are_counted_apart(wire: Wire) -> None:
    """Usage is read in the provider's own form; input excludes what the cache gave."""
    usage = (await wire.model.complete(ask("hello"))).usage
    openai = Usage(1_000, 100, 500, 0)
    expected = {"anthropic": Usage(1_000, 100, 200, 300), "openai": openai, "responses": openai}
    assert usage == expected[wire.provider]


async def test_a_stream_that_stalls_is_left_before_the_time_limit(wire: Wire) -> None:
    """Silence in the middle ends a call, and it may have been billed."""
    wire.server.fail_next(Fault.STALL_INSIDE)
    model = wire_model(wire.provider, wire.server.url, stall_seconds=0.2)
    with pytest.raises(ModelUnavailable, match=r"sent nothing for 0\.2 s") as caught:
        await model.complete(ask("hello"))
    assert caught.value.maybe_billed


async def test_a_server_that_does_not_stream_is_asked_for_a_whole_reply(wire: Wire) -> None:
    """A refusal of the stream is answered once, and remembered."""
    wire.server.fail_next(Fault.NO_STREAM)
    for _ in range(2):
        assert (await wire.model.complete(ask("hello"))).usage.output_tokens == 100
    assert [bool(seen.body.get("stream")) for seen in wire.server.requests] == [True, False, False]


async def test_another_model_s_answer_costs_the_dearer_price(wire: Wire) -> None:
    """It is used, named as the provider names it, and paid for as what is dearer."""
    asked = (await wire.model.complete(ask("hello"))).cost_usd
    wire.server.fail_next(Fault.WRONG_MODEL)
    reply = await wire.model.complete(ask("hello"))
    assert not wire.model.name.endswith(reply.model)
    assert asked < reply.cost_usd


async def test_the_environment_does_not_choose_where_a_key_goes(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the SDKs would read by themselves has no say."""
    for variable in ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.setenv(variable, "FAKE-other-key")
    assert (await wire.model.complete(ask("hello"))).text == "ok"
    assert "FAKE-other-key" not in str(wire.server.requests[0].headers)


async def test_a_failed_call_leaves_the_model_usable(wire: Wire) -> None:
    """The next call after a lost connection goes through."""
    wire.server.fail_next(Fault.DISCONNECT)
    with pytest.raises(ModelUnavailable):
        await wire.model.complete(ask("hello"))
    assert (await wire.model.complete(ask("hello"))).text == "ok"
