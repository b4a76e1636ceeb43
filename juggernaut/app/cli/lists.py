"""`workers`, `logs`, `learnings`, `alerts`: what the swarm is and says."""

from __future__ import annotations

import asyncio
import json as jsonlib
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from juggernaut.app.cli import report
from juggernaut.app.cli.known import task_id
from juggernaut.app.cli.output import DsnOption, JsonFlag, cell, emit, plain
from juggernaut.app.cli.people import LimitOption, ask, short

if TYPE_CHECKING:
    from juggernaut.adapters.postgres.board import Board, Row

WORKER_COLUMNS = (
    *("worker_id", "worker_type", "status", "alive", "current_task", "seconds_since", "host"),
    *("version", "sandbox"),
)
LOG_COLUMNS = ("created_at", "level", "worker_id", "task_id", "action", "message")
LEARNING_COLUMNS = ("category", "impact_score", "title", "description", "applied_count")
ALERT_COLUMNS = ("severity", "kind", "title", "times", "first_seen", "last_seen")
LEVELS: Final = ("debug", "info", "warning", "error", "critical")
FOLLOW_SECONDS: Final = 1.0
FOLLOW_ROWS: Final = 500


def register(app: typer.Typer) -> None:
    """Add the commands of this file and of the reports."""
    app.command("workers")(workers)
    app.command("logs")(logs)
    app.command("learnings")(learnings)
    app.command("alerts")(alerts)
    report.register(app)


def workers(limit: LimitOption = 200, json: JsonFlag = False, dsn: DsnOption = None) -> None:
    """List workers: which live, what they do, when they last gave a sign of life.

    Example: `juggernaut workers --json`
    """
    emit(ask(dsn, lambda board: board.rows("list_workers", limit)), WORKER_COLUMNS, json, "workers")


def logs(
    task: Annotated[str | None, typer.Option(help="Only of this task.", metavar="ID")] = None,
    level: Annotated[
        str | None, typer.Option(help="This level or worse: debug, info, warn, error, critical.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    limit: LimitOption = 50,
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Show the log of the swarm, the oldest of the chosen lines first.

    Example: `juggernaut logs --level warn --follow`
    """
    wanted = levels(level)

    async def work(board: Board) -> None:
        """Write what is there, and with --follow what comes."""
        about = await task_id(board, task) if task else None
        rows = await board.rows("list_logs", about, wanted, limit)
        if not follow:
            emit(rows if json else short(rows, "task_id"), LOG_COLUMNS, json, "logs")
            return
        last: object = 0
        while True:
            for row in rows:
                last = row["id"]
                write_line(row, json)
            sys.stdout.flush()
            await asyncio.sleep(FOLLOW_SECONDS)
            rows = await board.rows("follow_logs", about, wanted, last, FOLLOW_ROWS)

    ask(dsn, work)


def levels(least: str | None) -> list[str] | None:
    """Give a level and the worse ones; nothing means all.

    >>> levels("error")
    ['error', 'critical']
    """
    if least is None:
        return None
    name = "warning" if least == "warn" else least
    if name not in LEVELS:
        raise typer.BadParameter(f"{least!r} is no level: use one of {', '.join(LEVELS)}")
    return list(LEVELS[LEVELS.index(name) :])


def write_line(row: Row, json: bool) -> None:
    """Write one line of the log: JSON, or columns with blanks between them."""
    if json:
        sys.stdout.write(jsonlib.dumps(plain(row)) + "\n")
        return
    shown = [cell(row[name]).replace("\n", " ") for name in LOG_COLUMNS if row[name] is not None]
    sys.stdout.write("  ".join(shown) + "\n")


def learnings(
    category: Annotated[str | None, typer.Option(help="Only of this category.")] = None,
    limit: LimitOption = 50,
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """List what was learned, the newest first.

    Example: `juggernaut learnings --category failure`
    """
    rows = ask(dsn, lambda board: board.rows("list_learnings", category, None, limit))
    emit(rows, LEARNING_COLUMNS, json, "learnings")


def alerts(limit: LimitOption = 100, json: JsonFlag = False, dsn: DsnOption = None) -> None:
    """List the alerts that are open.

    Example: `juggernaut alerts`
    """
    emit(ask(dsn, lambda board: board.rows("list_alerts", limit)), ALERT_COLUMNS, json, "alerts")
