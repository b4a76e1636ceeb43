from hypothesis import given, settings
from hypothesis import strategies as st

from juggernaut.coder.context import KEPT_MESSAGES, compact, size
from juggernaut.domain.exchange import Message, ToolCall, ToolResult

TEXT = st.sampled_from(["", "x", "short text", "y" * 300, "z" * 5_000])


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
@given(conversations(), st.integers(500, 40_000))
def test_a_compacted_conversation_is_still_valid(talk: list[Message], bound: int) -> None:
    """Same roles, same pairs of calls and results, same words; only long old data goes."""
    short = compact(talk, bound)
    assert [message.role for message in short] == [message.role for message in talk]
    assert [message.text for message in short] == [message.text for message in talk]
    for old, new in zip(talk, short, strict=True):
        assert [(c.id, c.name, set(c.arguments)) for c in old.tool_calls] == [
            (c.id, c.name, set(c.arguments)) for c in new.tool_calls
        ]
        assert [(r.call_id, r.is_error) for r in old.tool_results] == [
            (r.call_id, r.is_error) for r in new.tool_results
        ]
        assert size(new) <= size(old)
    assert short[0] == talk[0]
    assert short[-1] == talk[-1]
    if sum(map(size, talk)) <= bound:
        assert list(short) == talk


@settings(max_examples=60, deadline=None)
@given(conversations(), st.integers(500, 40_000))
def test_it_fits_or_everything_old_is_short(talk: list[Message], bound: int) -> None:
    """Above the bound is only what may not be shortened: words, the first, the last message."""
    short = compact(talk, bound)
    if sum(map(size, short)) > bound:
        for message in short[1:-1]:
            assert all(len(result.text) <= 200 for result in message.tool_results)
            assert all(
                len(str(value)) <= 200
                for call in message.tool_calls
                for value in call.arguments.values()
            )


def test_the_newest_turns_stay_whole_and_the_head_stays_stable() -> None:
    """One compaction makes room for several turns, so that a provider's cache keeps its worth."""
    talk = [Message("user", "task")]
    for turn in range(20):
        talk.append(Message("assistant", "", tool_calls=(ToolCall(str(turn), "read", {}),)))
        result = ToolResult(str(turn), str(turn) * 1_000)
        talk.append(Message("user", tool_results=(result,)))
    bound = sum(map(size, talk)) - 1
    short = compact(talk, bound)
    assert list(short[-KEPT_MESSAGES:]) == talk[-KEPT_MESSAGES:]
    assert "removed to save room" in short[2].tool_results[0].text
    assert sum(map(size, short)) <= bound / 2
    assert compact(short, bound) == short
