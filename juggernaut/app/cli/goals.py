"""`juggernaut goal`: what people want, and how far it is."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from juggernaut.app.cli.known import check, check_title, goal_id
from juggernaut.app.cli.output import DsnOption, JsonFlag, emit, emit_one
from juggernaut.app.cli.people import LimitOption, ask, short
from juggernaut.domain.errors import ConfigError, InvalidInput

if TYPE_CHECKING:
    from juggernaut.adapters.postgres.board import Board, Row

COLUMNS = ("goal_id", "title", "status", "tasks", "completed", "failed", "percent", "cost_usd")
TASK_COLUMNS = ("id", "task_type", "status", "title", "reason")
TASKS_SHOWN = 200
GOAL_MOST = Decimal(999_999)  # what the column holds
STATUSES = ("active", "completed", "failed", "cancelled")

goal = typer.Typer(
    no_args_is_help=True,
    help="Goals: add, list, show, cancel.\n\nExample: `juggernaut goal list --status active`",
)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(goal, name="goal")


@goal.command("add")
def add(
    title: Annotated[str, typer.Argument(help="What you want, in one line.")],
    description: Annotated[str, typer.Option("--description", "-d", help="Details.")] = "",
    repo: Annotated[
        str | None, typer.Option("--repo", help="Repository; the default is JUGGERNAUT_REPO.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="USD", help="Most that it may cost.")
    ] = None,
    untrusted: Annotated[
        bool,
        typer.Option("--untrusted", help="Its text is a stranger's: work above low risk waits."),
    ] = False,
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Add a goal; the orchestrator turns it into tasks.

    Example: `juggernaut goal add "shorten() respects its limit" --budget 2.50`
    """

    async def work(board: Board) -> Row:
        """Add it and read it back."""
        check_title(title)
        made = await board.only("add_goal", title, description, repo, money(budget), not untrusted)
        return await board.only("show_goal", made["id"])

    emit_one(ask(dsn, work), json)


@goal.command("list")
def list_goals(
    status: Annotated[str | None, typer.Option("--status", help="Only this status.")] = None,
    limit: LimitOption = 50,
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """List goals with their progress, the newest first.

    Example: `juggernaut goal list --status active --json`
    """

    async def work(board: Board) -> list[Row]:
        """Read the rows."""
        if status is not None:
            check("status of a goal", status, STATUSES)
        return await board.rows("list_goals", status, limit)

    rows = ask(dsn, work)
    emit(rows if json else short(rows, "goal_id"), COLUMNS, json, "goals")


@goal.command("show")
def show(
    start: Annotated[str, typer.Argument(metavar="ID", help="The id, or the start of it.")],
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Show a goal, its tasks and what it cost.

    Example: `juggernaut goal show 3f2a`
    """

    async def work(board: Board) -> tuple[Row, list[Row]]:
        """Read the goal and its tasks."""
        found = await goal_id(board, start)
        tasks = await board.rows("list_tasks", None, None, found, TASKS_SHOWN)
        return await board.only("show_goal", found), tasks

    row, tasks = ask(dsn, work)
    if json:
        emit_one({**row, "task_rows": tasks}, json)
        return
    emit_one(row)
    emit(short(tasks, "id"), TASK_COLUMNS, title="tasks")


@goal.command("cancel")
def cancel(
    start: Annotated[str, typer.Argument(metavar="ID", help="The id, or the start of it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept.")],
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Cancel a goal and every task of it that is still open.

    Example: `juggernaut goal cancel 3f2a --reason "done by hand"`
    """

    async def work(board: Board) -> Row:
        """Cancel it and read it back."""
        found = await goal_id(board, start)
        before = (await board.only("show_goal", found))["status"]
        ended = (await board.only("cancel_goal", found, reason))["cancel_goal"]
        if before != "active" and not ended:
            raise InvalidInput(f"nothing changed: goal {found} is already {before}")
        return await board.only("show_goal", found)

    emit_one(ask(dsn, work), json)


def money(text: str | None, most: Decimal = GOAL_MOST) -> Decimal | None:
    """Read an amount of US dollars; ConfigError when it is none."""
    if text is None:
        return None
    given = f"{text[:40]!r} is no amount of US dollars"
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        raise ConfigError(f"{given}: write it like 2.50") from None
    if not amount.is_finite() or not 0 <= amount <= most:
        raise ConfigError(f"{given}: it must be 0 or more, and at most {most}")
    return amount
