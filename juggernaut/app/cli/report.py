"""`juggernaut report`: the reports that the analyst stored."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from juggernaut.app.cli.output import DsnOption, JsonFlag, cell, emit, emit_one
from juggernaut.app.cli.people import LimitOption, ask
from juggernaut.domain.errors import InvalidInput

if TYPE_CHECKING:
    from juggernaut.adapters.postgres.board import Board, Row

COLUMNS = ("id", "title", "created_at", "task_id")

report = typer.Typer(
    help="Reports: list, show; alone it shows the newest.\n\nExample: `juggernaut report`"
)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(report, name="report")


@report.callback(invoke_without_command=True)
def newest(context: typer.Context, json: JsonFlag = False, dsn: DsnOption = None) -> None:
    """Show the newest report."""
    if context.invoked_subcommand is None:
        write(ask(dsn, lambda board: find(board, None)), json)


@report.command("list")
def list_reports(limit: LimitOption = 50, json: JsonFlag = False, dsn: DsnOption = None) -> None:
    """List reports, the newest first.

    Example: `juggernaut report list --json`
    """
    emit(ask(dsn, lambda board: board.rows("list_reports", limit)), COLUMNS, json, "reports")


@report.command("show")
def show(
    number: Annotated[int, typer.Argument(help="The report's number.", min=1)],
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Show one report.

    Example: `juggernaut report show 3`
    """
    write(ask(dsn, lambda board: find(board, number)), json)


async def find(board: Board, number: int | None) -> Row:
    """Read a report; without a number the newest one."""
    row = await board.row("show_report", number)
    if row is None:
        wanted = "no report yet" if number is None else f"no report has the number {number}"
        raise InvalidInput(f"{wanted}: see `juggernaut report list`")
    return row


def write(row: Row, json: bool) -> None:
    """Write a report as JSON, or as its text."""
    if json:
        emit_one(row, json)
        return
    sys.stdout.write(f"{cell(row['title'])}\n{cell(row['created_at'])}\n\n{cell(row['body'])}\n")
