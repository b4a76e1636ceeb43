"""What the three programs print, by hand after what they really print, and its traps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from juggernaut.adapters.agents.claude_code import ClaudeCode
from juggernaut.adapters.agents.codex import Codex
from juggernaut.adapters.agents.lines import Lines
from juggernaut.adapters.agents.opencode import OpenCode, may
from juggernaut.adapters.agents.story import CLAIMED, Story
from juggernaut.domain import limits
from juggernaut.domain.agents import AgentEvent, EventKind
from juggernaut.domain.model import Json

Reader = ClaudeCode | Codex | OpenCode
CLAUDE_INIT: Json = {"type": "system", "subtype": "init", "session_id": "s1", "tools": ["Bash"]}
CLAUDE_USE: Json = {
    "type": "assistant",
    "message": {"id": "m", "content": [{"type": "tool_use", "id": "t1", "name": "Write"}]},
}
CLAUDE_GOT: Json = {
    "type": "user",
    "message": {"content": [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]},
}
CLAUDE_DONE: Json = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "num_turns": 2,
    "result": "Done.",
    "session_id": "s1",
    "permission_denials": [],
}
CLAUDE_GOOD = (CLAUDE_INIT, CLAUDE_USE, CLAUDE_GOT, CLAUDE_DONE)
CODEX_ITEM: Json = {"id": "i1", "type": "command_execution", "status": "completed"}
CODEX_GOOD: tuple[Json, ...] = (
    {"type": "thread.started", "thread_id": "s1"},
    {"type": "turn.started"},
    {"type": "item.completed", "item": {"type": "error", "message": "model not known"}},
    {"type": "item.started", "item": {**CODEX_ITEM, "status": "in_progress"}},
    {"type": "item.completed", "item": CODEX_ITEM},
    {"type": "item.completed", "item": {"type": "agent_message", "text": "Done."}},
    {"type": "turn.completed", "usage": {"input_tokens": 1}},
)


def open_event(kind: str, **facts: object) -> Json:
    """Make an event of OpenCode."""
    return {"id": "e", "type": kind, "properties": facts}


def open_tool(status: str) -> Json:
    """Make OpenCode's word about a tool."""
    part = {"type": "tool", "tool": "write", "callID": "c1", "state": {"status": status}}
    return open_event("message.part.updated", part=part)


OPEN_GOOD: tuple[Json, ...] = (
    open_event("server.connected"),
    open_event("session.status", sessionID="s1", status={"type": "busy"}),
    open_event("message.part.updated", part={"type": "text", "text": "", "time": {"start": 1}}),
    *(open_tool(status) for status in ("pending", "running", "completed")),
    open_event("session.idle", sessionID="somebody else's"),
    open_event("message.part.updated", part={"type": "text", "text": "Done.", "time": {"end": 2}}),
    open_event("session.idle", sessionID="s1"),
)
GOOD: dict[str, tuple[Reader, tuple[Json, ...]]] = {
    "claude": (ClaudeCode(), CLAUDE_GOOD),
    "codex": (Codex(), CODEX_GOOD),
    "opencode": (OpenCode(), OPEN_GOOD),
}


def read(reader: Reader, lines: Iterable[Json | bytes], cut: int = 0) -> tuple[Story, list[str]]:
    """Let a reader take in lines, cut into pieces of so many bytes; gives story and events."""
    raw = b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )
    story = Story(session="s1" if isinstance(reader, OpenCode) else None)
    split, events = Lines(limits.AGENT_LINE_BYTES), list[AgentEvent]()
    for start in range(0, len(raw), cut or len(raw)):
        for line in split.feed(raw[start : start + (cut or len(raw))]):
            events += reader.parse(line, story)
    return story, [event.kind.value for event in events]


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("cut", [0, 1, 7])
def test_a_good_run_is_good_however_it_was_cut(name: str, cut: int) -> None:
    """Every program's own way to say it, in pieces of any size."""
    reader, lines = GOOD[name]
    story, events = read(reader, lines, cut)
    assert story.problem(0, "") is None
    assert (story.session, story.tool_uses, story.ends[0].text) == ("s1", 1, "Done.")
    assert events.count("tool") == events.count("result") == 1
    assert EventKind.ENDED.value not in events, "the end is told by who runs it"


@pytest.mark.parametrize("name", GOOD)
def test_what_is_not_known_changes_nothing(name: str) -> None:
    """New kinds, new keys, wrong shapes, text that is no JSON, a line of two megabytes."""
    reader, lines = GOOD[name]
    strange: list[Json | bytes] = [
        b"Warning: plain text",
        b"[1, 2]",
        b"null",
        b'{"type":',
        b"[" * 100_000,
        {"type": "from the future", "item": [], "message": "x", "properties": 3},
        {"type": 7, "message": {"content": "no list"}, "item": "no object"},
        {"type": "assistant", "message": {"content": [{"type": "thinking"}, "text", None]}},
        {"type": "item.completed", "item": {"type": "reasoning", "text": "x" * 2 * limits.MIB}},
        {"type": "message.part.updated", "properties": {"part": None}},
        {"type": "session.status", "properties": {"status": "odd"}},
        {"type": "system", "subtype": "api_retry", "attempt": 1, "error_status": 529},
    ]
    story, _ = read(reader, [*strange, *lines[:-1], *strange, lines[-1]])
    assert story.problem(0, "") is None
    assert story.tool_uses == 1


def test_a_line_without_end_is_dropped_and_the_next_one_is_read() -> None:
    """The bound holds, and costs one line."""
    split = Lines(1_000)
    parts = (b"x" * 600, b"x" * 600, b"\n{}\n", b"rest")
    got = [line for part in parts for line in split.feed(part)]
    assert got == [b"{}"]
    assert list(split.rest()) == [b"rest"]
    assert split.dropped == 1


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"is_error": True, "result": "API Error: 403"}, 1, "success: API Error: 403"),
        ({"is_error": True, "result": "API Error: 403"}, 0, "success: API Error: 403"),
        ({"is_error": None}, 0, "success: Done."),
        ({"subtype": "error_during_execution", "result": None, "errors": ["lost"]}, 0, "lost"),
        ({"subtype": "error_max_turns", "is_error": True, "result": None}, 1, "error_max_turns"),
        ({"permission_denials": [{"tool_name": "Write"}]}, 0, "not allowed.*Write"),
        ({}, 143, "exit code 143"),
    ],
)
def test_success_is_not_always_success(change: dict[str, object], code: int, told: str) -> None:
    """Claude Code calls most failures success, and ends denied work with 0."""
    story, _ = read(ClaudeCode(), [*CLAUDE_GOOD[:-1], {**CLAUDE_DONE, **change}])
    problem = story.problem(code, "")
    assert problem is not None
    assert re.search(told, problem)
    assert (story.bound is not None) == (change.get("subtype") == "error_max_turns")


@pytest.mark.parametrize("name", GOOD)
def test_exactly_one_result_counts(name: str) -> None:
    """None is what SIGINT leaves, with exit code 0; two are a forgery or a bug."""
    reader, lines = GOOD[name]
    story, _ = read(reader, lines[:-1])
    assert story.problem(0, "").startswith("gave 0 results")  # type: ignore[union-attr]
    assert "last words" in (story.problem(130, "last words") or "")
    if name != "opencode":  # it is not listened to after its session is idle
        story, _ = read(reader, [*lines, lines[-1]])
        assert "gave 2 results" in (story.problem(0, "") or "")


def test_a_claim_without_a_tool_is_no_work() -> None:
    """Also a tool that failed is none."""
    failed = {**CLAUDE_GOT["message"]["content"][0], "is_error": True}  # type: ignore[index]
    told = {"type": "user", "message": {"content": [failed]}}
    for lines in ([CLAUDE_INIT, CLAUDE_DONE], [CLAUDE_INIT, CLAUDE_USE, told, CLAUDE_DONE]):
        story, _ = read(ClaudeCode(), lines)
        assert story.problem(0, "") == CLAIMED


def test_codex_says_what_failed() -> None:
    """A failed turn is the end; errors on the way are not."""
    wrong = [
        CODEX_GOOD[0],
        {"type": "error", "message": "Reconnecting... 1/5"},
        {"type": "turn.failed", "error": {"message": "unexpected status 403"}},
    ]
    story, events = read(Codex(), wrong)
    assert story.problem(1, "") == "unexpected status 403"
    assert events == ["started", "retry"]


def test_opencode_says_what_failed() -> None:
    """A provider's failure is an event, and the idle session after it is no second end."""
    error = {"name": "APIError", "data": {"message": "Forbidden", "statusCode": 403}}
    retry = {"type": "retry", "attempt": 1, "message": "overloaded"}
    wrong = [
        *OPEN_GOOD[:-1],
        open_event("session.status", sessionID="s1", status=retry),
        open_event("session.error", sessionID="s1", error=error),
        OPEN_GOOD[-1],
    ]
    story, events = read(OpenCode(), wrong)
    assert story.problem(0, "") == "APIError: Forbidden"
    assert "retry" in events


def test_secrets_and_escapes_do_not_come_through() -> None:
    """What an agent says is scrubbed like any text from outside."""
    token = "ghp_" + "FAKE" * 6
    done = {**CLAUDE_DONE, "result": f"Done \x1b[31m {token}\x00."}
    story, _ = read(ClaudeCode(), [*CLAUDE_GOOD[:-1], done])
    assert story.ends[0].text == "Done  [redacted]\ufffd."


@pytest.mark.parametrize(
    ("kind", "name", "allowed"),
    [
        ("edit", "a/b.py", True),
        ("edit", None, True),
        ("edit", "../b.py", False),
        ("edit", "/etc/passwd", False),
        ("edit", "out/b.py", False),
        ("bash", None, True),
        ("webfetch", None, False),
        ("external_directory", None, False),
        ("doom_loop", None, False),
        ("from the future", None, False),
        (None, None, False),
    ],
)
def test_what_opencode_may_do(
    tmp_path: Path, kind: str | None, name: str | None, *, allowed: bool
) -> None:
    """Commands, and edits inside the tree, links followed; nothing else."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "out").symlink_to(tmp_path)
    assert may({"permission": kind, "metadata": {"filepath": name}}, tree, walled=False) is allowed
    looks = kind == "external_directory"
    asked = {"permission": kind, "metadata": {"filepath": name}}
    assert may(asked, tree, walled=True) is (allowed or looks)
