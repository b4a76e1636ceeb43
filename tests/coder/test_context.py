"""Compaction: what a long conversation keeps, and what a provider would still accept of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from juggernaut.coder.context import LEFT_OUT, RECORD, compact, size
from juggernaut.coder.conversation import Conversation
from juggernaut.coder.tools import Used
from juggernaut.domain.agents import AgentEvent, EventKind
from juggernaut.domain.exchange import AgentRequest, Message, ToolCall, ToolResult
from tests.fakes.puppets import answer

TEXT = st.sampled_from(["", "x", "short text", "y" * 300, "z" * 5_000, "\u4e2d" * 300])


def told(most_chars: int) -> str:
    """Give a record."""
    return f"the record, {'long ' * 4_000}"[:most_chars]


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Draw a conversation as the loop makes them: calls are answered in the next message."""
    talk = [Message("user", draw(TEXT))]
    for turn in range(draw(st.integers(0, 14))):
        calls = tuple(
            ToolCall(f"{turn}-{n}", "write", {"path": "a", "content": draw(TEXT)})
            for n in range(draw(st.integers(0, 3)))
        )
        results = tuple(ToolResult(call.id, draw(TEXT), draw(st.booleans())) for call in calls)
        talk.append(Message("assistant", draw(TEXT), tool_calls=calls))
        talk.append(Message("user", "" if results else "go on", tool_results=results))
    return talk


@settings(max_examples=150, deadline=None)
@given(conversations(), st.integers(3_000, 60_000))
def test_a_compacted_conversation_is_still_valid(talk: list[Message], bound: int) -> None:
    """Roles alternate, every call has its result, the first and the newest turn are whole."""
    short = compact(talk, bound, told)
    assert [m.role for m in short] == [("user", "assistant")[n % 2] for n in range(len(short))]
    for old, new in zip(short, short[1:], strict=False):
        assert [call.id for call in old.tool_calls] == [r.call_id for r in new.tool_results]
    assert short[0] == talk[0]
    assert short[-1] == talk[-1]
    room = bound - size(talk[0])
    if sum(map(size, talk[1:])) <= room * 0.8:
        assert list(short) == talk
    if len(short) < len(talk):
        assert short[1].text == LEFT_OUT
        assert short[2].text.startswith(RECORD)
    newest = sum(map(size, talk[-2:]))
    if len(talk) > 3 and room > 4 * newest:
        assert sum(map(size, short)) <= bound


@settings(max_examples=60, deadline=None)
@given(conversations(), conversations())
def test_it_can_be_done_again(talk: list[Message], more: list[Message]) -> None:
    """There is one record, the newest, however often turns were left out."""
    short = compact(compact(talk, 12_000, told) + tuple(more[1:]), 12_000, told)
    assert sum(message.text == LEFT_OUT for message in short) <= 1


def test_one_compaction_makes_room_for_many_turns() -> None:
    """So that a provider's cache keeps its worth, and the newest turns stay whole."""
    talk = [Message("user", "task")]
    for turn in range(20):
        talk.append(Message("assistant", "", tool_calls=(ToolCall(str(turn), "read", {}),)))
        result = ToolResult(str(turn), "r" * 10_000)
        talk.append(Message("user", tool_results=(result,)))
    bound = int(sum(map(size, talk)) / 0.8) - 100
    short = compact(talk, bound, told)
    assert list(short[3:]) == talk[-(len(short) - 3) :]
    assert bound * 0.35 < sum(map(size, short)) <= bound * 0.5 + 10_000
    assert compact(short, bound, told) == short


def test_a_turn_that_is_too_large_by_itself_loses_what_it_wrote() -> None:
    """What the model sent becomes a note; the call and its result stay a pair."""
    call = ToolCall("1", "write", {"path": "a", "content": "x" * 50_000})
    answer = Message("user", tool_results=(ToolResult("1", "wrote"),))
    talk = [Message("user", "task"), Message("assistant", "", tool_calls=(call,)), answer]
    short = compact(talk, 20_000, told)
    assert short[1].tool_calls[0].arguments["content"] == (
        "[50000 characters, removed to save room]"
    )
    assert sum(map(size, short)) < 1_000


@pytest.mark.parametrize(
    ("context_tokens", "chars", "full"),
    [
        (None, 170_000, False),
        (None, 260_000, True),
        (100_000, 200_000, True),
        (1_000_000, 1_400_000, False),
        (1_000_000, 2_000_000, True),
        (3_000_000, 2_000_000, True),
    ],
)
def test_the_window_is_what_the_model_takes(
    context_tokens: int | None, chars: int, *, full: bool
) -> None:
    """Of that what its reply leaves; the usual one where nothing is known, and never any size."""
    told: list[AgentEvent] = []
    request = AgentRequest("Do it.", "Rules.", ".", context_tokens=context_tokens)
    talk = Conversation(request, told.append)
    for _ in range(20):
        reply = answer({"path": "a"}, "read")
        talk.hear(reply)
        talk.show(reply.tool_calls[0], Used("r" * (chars // 20), is_error=False))
        talk.request()
    assert (EventKind.NOTE in {event.kind for event in told}) == full
