"""What a person sees while the goal is on its way."""

from __future__ import annotations

import io

from rich.console import Console

from juggernaut.adapters.postgres.board import Row
from juggernaut.app.demo.board_view import LineView, LiveView
from juggernaut.app.watch import Snapshot

TASK: Row = {
    "id": 1,
    "title": "fix \x1b[31m\u202e it [b]now[/b]",
    "task_type": "code",
    "status": "in_progress",
    "risk_level": "low",
    "worker": "w1",
}
WORKER: Row = {
    "worker_id": "w1",
    "worker_type": "executor",
    "status": "idle",
    "seconds_since": None,
    "current_task": None,
}
GOAL: Row = {"title": "a goal", "status": "active", "percent": None, "tasks": 1, "completed": 0}
LOG: Row = {"worker_id": None, "message": "one\ntwo \x07"}


def test_a_line_for_each_change_and_no_other() -> None:
    """The same moment twice is told once; text from outside is not obeyed."""
    out = io.StringIO()
    view = LineView(out)
    with view.running():
        view.show(Snapshot(GOAL, tasks=[TASK]))
        view.show(Snapshot(GOAL, tasks=[TASK]))
        view.show(Snapshot(GOAL, tasks=[{**TASK, "status": "completed"}]))
        view.say("two\nlines")
    lines = out.getvalue().splitlines()
    assert [("in_progress" in line, "completed" in line) for line in lines[:2]] == [
        (True, False),
        (False, True),
    ]
    assert len(lines) == 4
    assert lines[3].startswith("    ")
    assert "\x1b" not in out.getvalue()
    assert "\u202e" not in out.getvalue()


def test_the_board_shows_who_does_what() -> None:
    """A worker that holds a task is busy, whatever its last beat said."""
    out = io.StringIO()
    view = LiveView(Console(file=out, width=120, force_terminal=False))
    with view.running():
        view.show(Snapshot(GOAL, tasks=[TASK], workers=[WORKER], fresh_logs=[LOG]))
        view.say("said")
    text = out.getvalue()
    assert "busy" in text
    assert "[b]now[/b]" in text
    assert "one two" in text
    assert "said" in text
    assert "\x1b[31m" not in text
    assert "\x07" not in text
