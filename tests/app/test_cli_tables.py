"""Tables lose no column: neither in a pipe nor on a narrow terminal."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from juggernaut.app.cli import approvals, audit, goals, grant, lists, tasks
from juggernaut.app.cli.output import cell
from juggernaut.app.cli.table import PIPE_COLUMNS, widths_for
from tests.app import terminal
from tests.app.cli_process import call
from tests.app.commands import good
from tests.fixtures_postgres import Database, Login

WORKER = "executor-on-a-machine-with-a-long-name-4711"
TITLE = "Print the version of the interpreter, so that people can compare it with theirs"
# Command, columns, and those whose values are made shorter or told in other words in a table.
LISTS = [
    (("task", "list", "--type", "command"), tasks.COLUMNS, ("id",)),
    (("goal", "list"), goals.COLUMNS, ("goal_id",)),
    (("budget",), grant.SPEND_COLUMNS, ()),
    (("workers",), lists.WORKER_COLUMNS, ("seconds_since",)),
    (("logs",), lists.LOG_COLUMNS, ("task_id", "created_at")),
    (("audit", "list"), audit.COLUMNS, ("at",)),
    (("alerts",), lists.ALERT_COLUMNS, ("first_seen", "last_seen")),
    (("learnings",), lists.LEARNING_COLUMNS, ()),
    (("approvals",), approvals.COLUMNS, ("task_id", "waiting_since", "digest")),
    (("login", "list"), ("name", "kind", "connections", "most"), ("connections", "most")),
    (("config", "--explain"), ("setting", "value", "source", "variable"), ("value",)),
]


async def furnish(database: Database, worker: Login) -> None:
    """Let there be a row of each list, with values as long as real ones."""
    operator, theirs = await database.connect(), await database.connect(worker)
    try:
        task = await operator.fetchval(
            "INSERT INTO governance_tasks (title, task_type) VALUES ($1, 'command') RETURNING id",
            TITLE,
        )
        await theirs.execute(
            "INSERT INTO worker_registry (worker_id, worker_type, status, last_heartbeat)"
            " VALUES ($1, 'executor', 'active', now())",
            WORKER,
        )
        await theirs.execute(
            "UPDATE governance_tasks SET status = 'in_progress', assigned_worker = $2,"
            " started_at = now() WHERE id = $1",
            *(task, WORKER),
        )
        await theirs.execute(
            "INSERT INTO execution_logs (task_id, worker_id, action, level, message)"
            " VALUES ($1, $2, 'test', 'info', $3)",
            *(task, WORKER, TITLE),
        )
        await theirs.execute(
            "INSERT INTO learnings (task_id, worker_id, category, title, description, impact_score)"
            " VALUES ($1, $2, 'technique', $3, $3, 0.5)",
            *(task, WORKER, TITLE),
        )
        await theirs.execute(
            "UPDATE governance_tasks SET status = 'waiting_approval', requires_approval = true,"
            " approval_reason = 'it leaves the house' WHERE id = $1",
            task,
        )
        await operator.execute(
            "SELECT juggernaut.raise_alert('task_stuck', $1, 'warning', $2, '{}')",
            *(str(task), TITLE),
        )
    finally:
        await database.close()


def squeezed(text: str) -> str:
    """Take out the frame of a table and the blanks, so that a wrapped value is in one piece."""
    return "".join(text.split())


def columns_of(out: str) -> list[str]:
    """Give the text of a table column by column, or all of a list of blocks."""
    lines = [line.split("│")[1:-1] for line in out.splitlines() if line.startswith("│")]
    return [squeezed("".join(cells)) for cells in zip(*lines, strict=True)] or [squeezed(out)]


@pytest.fixture
def furnished(database: Database, worker_login: Login) -> Database:
    """A database with a row of each list."""
    asyncio.run(furnish(database, worker_login))
    good(database, "goal", "add", TITLE, "--budget", "2.50")
    return database


@pytest.mark.parametrize(
    ("argv", "names", "altered"), LISTS, ids=[" ".join(item[0]) for item in LISTS]
)
def test_no_column_is_lost(
    furnished: Database,
    tmp_path: Path,
    argv: tuple[str, ...],
    names: tuple[str, ...],
    altered: tuple[str, ...],
) -> None:
    """In a pipe a table with each column; at 80 columns each value, on lines that fit."""
    url = {"DATABASE_URL": furnished.url}
    rows: list[dict[str, Any]] = asyncio.run(call(tmp_path, *argv, "--json", **url)).rows()
    assert rows, argv
    piped = asyncio.run(call(tmp_path, *argv, **url)).out
    head = next(line for line in piped.splitlines() if line.startswith("┃"))
    assert [name.strip() for name in head.strip("┃").split("┃")] == [
        name.replace("_", " ") for name in names
    ]
    narrow = terminal.shown(tmp_path, 80, *argv, **url)
    for out in (piped, narrow):
        found = columns_of(out)
        for row in rows:
            values = [squeezed(cell(row[name])) for name in names if name not in altered]
            assert [value for value in values if not any(value in text for text in found)] == []
    if "│" in narrow:
        assert max(len(line) for line in narrow.splitlines() if "│" in line) <= 80
        assert len(columns_of(narrow)) == len(names)


def test_what_does_not_fit_is_a_block_for_each_row(furnished: Database, tmp_path: Path) -> None:
    """The identifying value whole, on a line of its own; nothing is said of what is not there."""
    out = terminal.shown(tmp_path, 80, "workers", DATABASE_URL=furnished.url)
    assert out.startswith(f"workers\n\nworker_id: {WORKER}\nworker_type: executor\n")
    assert "current_task" not in out
    piped = asyncio.run(call(tmp_path, "workers", DATABASE_URL=furnished.url, COLUMNS="80")).out
    assert piped.splitlines()[2] == f"worker_id: {WORKER}"


def test_room_goes_to_the_columns_that_need_it() -> None:
    """Short values stay whole, long ones share what is left, and too little is said."""
    heads, row = ["id", "risk level", "title", "reason"], ["9c41aaaa", "high", "t" * 90, "r" * 20]
    assert widths_for(PIPE_COLUMNS, heads, [row]) == [8, 10, 90, 20]
    assert widths_for(80, heads, [row]) == [8, 10, 29, 20]
    assert widths_for(52, heads, [row]) == [8, 5, 13, 13]
    assert widths_for(50, heads, [row]) == [8, 5, 12, 12]
    assert widths_for(49, heads, [row]) is None
    assert widths_for(20, ["id"], [["漢字" * 4]]) == [16]


@pytest.mark.parametrize(
    ("zone", "at", "shown"),
    [
        ("Asia/Tokyo", "9999-12-31T23:59:59+00:00", "9999-12-31 23:59:59+00:00"),
        ("America/New_York", "0001-01-01T00:00:00+00:00", "0001-01-01 00:00:00+00:00"),
        ("Asia/Tokyo", "2026-01-01T00:00:00+00:00", "2026-01-01 09:00:00"),
    ],
)
def test_the_last_and_first_days_are_shown_in_utc(
    monkeypatch: pytest.MonkeyPatch, zone: str, at: str, shown: str
) -> None:
    """They have no local time in every zone; other times are those of the reader."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        try:
            assert cell(datetime.fromisoformat(at)) == shown
        finally:
            patched.undo()
            time.tzset()
