"""Replies that no honest provider sends: each is ModelGarbled, and nothing odd gets through."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from juggernaut.adapters.llm import anthropic_stream, anthropic_wire, openai_stream, openai_wire
from juggernaut.adapters.llm.body import json_object
from juggernaut.adapters.llm.reading import Reading
from juggernaut.domain.errors import ModelError, ModelGarbled
from juggernaut.domain.exchange import StopReason, Usage
from juggernaut.domain.model import Json

Reader = Callable[[Json, str], Reading]
READERS = [anthropic_wire.from_wire, openai_wire.from_wire]
DEEP = "[" * 100_000 + "]" * 100_000

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text('ab{}"', max_size=4)
    | st.sampled_from(["stop", "end_turn"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "text", "id", "name", "input", "function", "arguments", "message"]
                + ["content", "tool_calls", "finish_reason", "stop_reason", "usage", "choices"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\xff\xfe\xff", b"null", b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1e999}', b"{" * 9],
)
def test_what_is_not_json_is_garbled(raw: bytes) -> None:
    """Numbers that JSON does not have are refused too."""
    with pytest.raises(ModelGarbled, match="the reply is not"):
        json_object(raw, "the reply")


def test_what_is_nested_without_end_is_garbled() -> None:
    """No recursion error gets out; nor for a number of a million digits."""
    with pytest.raises(ModelGarbled):
        json_object('{"a": ' + DEEP + "}", "the reply")
    with pytest.raises(ModelGarbled):
        json_object('{"a": ' + "9" * 1_000_000 + "}", "the reply")


def test_what_the_database_cannot_store_is_replaced() -> None:
    """NUL and half surrogates, in keys and values at any depth."""
    value = json_object(r'{"a\u0000": ["b\ud800", {"c": "\u0000"}]}', "the reply")
    assert value == {"a\ufffd": ["b\ufffd", {"c": "\ufffd"}]}


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(reply=st.dictionaries(st.sampled_from(["content", "choices", "stop_reason"]), values))
def test_no_reply_raises_anything_else(reader: Reader, reply: dict[str, object]) -> None:
    """Whatever the shape: a Reading or an error of our tree."""
    try:
        reading = reader(reply, "asked")
    except ModelError:
        return
    assert isinstance(reading.text, str)
    assert isinstance(reading.stop, StopReason)


def completion(message: Mapping[str, object], ends: str = "tool_calls", **more: object) -> Json:
    """Give a Chat Completions reply."""
    return {"choices": [{"message": message, "finish_reason": ends}], **more}


def call(**function: object) -> dict[str, object]:
    """Give an assistant's message with one tool call."""
    return {"content": None, "tool_calls": [{"id": "c1", "function": function}]}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (completion(call(name="read", arguments="[1]")), "the arguments of read is not a JSON obj"),
        (completion(call(name="read", arguments='{"a"')), "the arguments of read is not valid"),
        (completion(call(name="read", arguments={"a": 1})), "not text"),
        (completion(call(name="a b", arguments="{}")), "'a b' is not a tool name"),
        (completion({"content": ""}), "names none"),
        (completion({"content": 7}, "stop"), "content"),
        (completion({"content": ""}, "function_call"), "'function_call'"),
        ({"choices": []}, "no choice"),
        ({"choices": None}, "choices is missing"),
    ],
)
def test_a_bad_completion_is_garbled(reply: Json, words: str) -> None:
    """The message says which part."""
    with pytest.raises(ModelGarbled) as caught:
        openai_wire.from_wire(reply, "asked")
    assert words in str(caught.value)


def test_lax_servers_are_understood() -> None:
    """No id, no arguments, and `stop` although a tool is asked for."""
    message = {"tool_calls": [{"function": {"name": "read", "arguments": ""}}] * 2}
    reading = openai_wire.from_wire(completion(message, "stop"), "asked")
    assert reading.stop is StopReason.TOOL
    assert [dict(found.arguments) for found in reading.tool_calls] == [{}, {}]
    assert len({found.id for found in reading.tool_calls if found.id}) == 2
    assert reading.model == "asked"


@pytest.mark.parametrize(
    ("prompt", "output", "cached", "expected"),
    [
        (10, 5, 0, Usage(10, 5)),
        (10, 5, None, Usage(10, 5)),
        (10, 5, 4, Usage(6, 5, 4)),
        (10, 5, 11, None),
        (-1, 5, 0, None),
        (10, True, 0, None),
        (10, "5", 0, None),
    ],
)
def test_counts_that_cannot_be_are_no_counts(
    prompt: object, output: object, cached: object, expected: Usage | None
) -> None:
    """A senseless usage is a missing one, which costs the reserved price."""
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    reading = openai_wire.from_wire(completion({"content": "x"}, "stop", usage=usage), "asked")
    assert reading.usage == expected


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"type": "tool_use", "id": "1", "name": "read", "input": "x"}, "the input of a tool call"),
        ({"type": "tool_use", "id": 1, "name": "read", "input": {}}, "the id of a tool call"),
        ({"type": "tool_use", "id": "1", "name": "../read", "input": {}}, "is not a tool name"),
        ({"type": "text"}, "a text block"),
        ("text", "a block of the reply"),
    ],
)
def test_a_bad_block_is_garbled(block: object, words: str) -> None:
    """The message says which part."""
    with pytest.raises(ModelGarbled, match=words):
        anthropic_wire.from_wire({"stop_reason": "tool_use", "content": [block]}, "asked")


def test_unknown_blocks_are_passed_over() -> None:
    """Thinking is not text, and a new kind of block is no error."""
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "x"}]
    reading = anthropic_wire.from_wire({"stop_reason": "end_turn", "content": content}, "asked")
    assert (reading.text, reading.usage) == ("x", None)


def test_a_call_that_was_cut_off_is_not_made() -> None:
    """At max_tokens the last call may have lost arguments."""
    block = {"type": "tool_use", "id": "1", "name": "write", "input": {"path": "a"}}
    reading = anthropic_wire.from_wire({"stop_reason": "max_tokens", "content": [block]}, "asked")
    assert (reading.stop, reading.tool_calls) == (StopReason.LENGTH, ())
    assert json.dumps(reading.text) == '""'


@pytest.mark.parametrize("gather", [anthropic_stream.gather, openai_stream.gather_responses])
def test_a_stream_without_its_last_event_is_garbled(gather: Callable[[list[Json]], Json]) -> None:
    """Also where a reason to stop came already: nobody knows what was lost."""
    message = {"content": [], "stop_reason": "end_turn"}
    events: list[Json] = [{"type": "message_start", "message": message}]
    for seen in ([], events):
        with pytest.raises(ModelGarbled, match="cut off"):
            gather(seen)
