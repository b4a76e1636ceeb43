"""Shows a goal in the terminal: a live board on a terminal, plain lines of progress elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from juggernaut.app.cli.output import cell
from juggernaut.app.watch import Snapshot

LOGS_SHOWN: Final = 8
REFRESHES_PER_SECOND: Final = 8
STYLES: Final = {
    "completed": "green",
    "in_progress": "yellow",
    "busy": "yellow",
    "waiting_approval": "bold magenta",
    "awaiting_merge": "cyan",
    "failed": "bold red",
    "blocked": "red",
    "rejected": "red",
    "offline": "dim",
    "waiting": "dim",
}


class LineView:
    """A line for each change of a task's status."""

    def __init__(self, out: IO[str]) -> None:
        """Start the clock."""
        self._out = out
        self._started = time.monotonic()
        self._seen: dict[object, object] = {}

    def running(self) -> AbstractContextManager[object]:
        """Give what is open while the view is in use: nothing."""
        return nullcontext()

    def show(self, snapshot: Snapshot) -> None:
        """Write what changed."""
        for task in snapshot.tasks:
            if self._seen.get(task["id"]) != task["status"]:
                self._seen[task["id"]] = task["status"]
                worker = f" ({task['worker']})" if task["worker"] else ""
                self.say(f"{task['task_type']:<13} {task['status']:<16} {task['title']}{worker}")

    def say(self, text: str) -> None:
        """Write lines, the first with the time since the start."""
        stamp = f"{time.monotonic() - self._started:5.1f} s  "
        self._out.write(stamp + cell(text).replace("\n", "\n" + " " * len(stamp)) + "\n")
        self._out.flush()


class LiveView:
    """The board, redrawn in place; what is said scrolls by above it."""

    def __init__(self, console: Console) -> None:
        """Draw nothing yet."""
        self._console = console
        self._logs: deque[str] = deque(maxlen=LOGS_SHOWN)
        self._live = Live(console=console, refresh_per_second=REFRESHES_PER_SECOND)

    def running(self) -> AbstractContextManager[object]:
        """Give what is open while the view is in use: the part of the screen."""
        return self._live

    def show(self, snapshot: Snapshot) -> None:
        """Redraw."""
        for row in snapshot.fresh_logs:
            line = f"{cell(row['worker_id'] or '-')}  {cell(row['message'])}"
            self._logs.append(" ".join(line.split()))
        self._live.update(draw(snapshot, list(self._logs)))

    def say(self, text: str) -> None:
        """Write above the board."""
        self._console.print(Text(cell(text)))


def view_for(quiet_output: bool) -> LineView | LiveView:
    """Choose a view; with `quiet_output` standard output is left to somebody else."""
    console = Console()
    if not quiet_output and console.is_terminal:
        return LiveView(console)
    return LineView(sys.stderr if quiet_output else sys.stdout)


def draw(snapshot: Snapshot, logs: list[str]) -> RenderableType:
    """Draw the board of one moment."""
    lines = Text("\n".join(logs), style="dim", no_wrap=True, overflow="ellipsis")
    return Group(
        _heading(snapshot),
        _tasks(snapshot),
        _workers(snapshot),
        Panel(lines, title="log", height=LOGS_SHOWN + 2, border_style="dim"),
    )


def _heading(snapshot: Snapshot) -> RenderableType:
    """Draw the goal and its progress."""
    goal = snapshot.goal
    line = Table.grid(padding=(0, 2))
    line.add_row(
        Text(cell(goal.get("title")), style="bold"),
        ProgressBar(total=100, completed=float(str(goal.get("percent") or 0)), width=24),
        Text(f"{goal.get('completed') or 0} of {goal.get('tasks') or 0} tasks"),
        Text(f"{len(snapshot.alerts)} alerts", style="red" if snapshot.alerts else "dim"),
    )
    return line


def _tasks(snapshot: Snapshot) -> Table:
    """Draw the tasks."""
    table = Table(expand=True, title="tasks", title_justify="left")
    for name, width in (("type", 13), ("status", 16), ("risk", 8), ("worker", 18)):
        table.add_column(name, width=width, no_wrap=True)
    table.add_column("task", ratio=1, overflow="fold")
    for row in snapshot.tasks:
        table.add_row(
            Text(cell(row["task_type"])),
            _status(row["status"]),
            Text(cell(row["risk_level"])),
            Text(cell(row["worker"])),
            Text(cell(row["title"])),
        )
    return table


def _workers(snapshot: Snapshot) -> Table:
    """Draw the workers."""
    table = Table(expand=True, title="workers", title_justify="left")
    for name, width in (("role", 13), ("status", 16), ("last beat", 10)):
        table.add_column(name, width=width, no_wrap=True)
    table.add_column("does", ratio=1, no_wrap=True, overflow="ellipsis")
    # A worker's own row is as old as its last beat; the tasks say what it holds now.
    held = {row["worker"]: row["title"] for row in snapshot.tasks if row["status"] == "in_progress"}
    for row in snapshot.workers:
        does = held.get(row["worker_id"])
        table.add_row(
            Text(cell(row["worker_type"])),
            _status("busy" if does else row["status"]),
            Text(f"{float(str(row['seconds_since'] or 0)):.0f} s ago"),
            Text(cell(does)),
        )
    return table


def _status(value: object) -> Text:
    """Give a status in its colour."""
    return Text(cell(value), style=STYLES.get(str(value), ""))
