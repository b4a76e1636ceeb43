"""`policy`: how many people approve what, and how risky a task is at least."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from juggernaut.app.cli.output import DsnOption, JsonFlag, emit, emit_one
from juggernaut.app.cli.people import LIMIT_MOST, ask, short

if TYPE_CHECKING:
    from juggernaut.adapters.postgres.board import Board, Row

COLUMNS = (
    *("task_id", "title", "changed", "risk_before", "risk_after"),
    *("approvals_before", "approvals_after", "factors"),
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A policy file (YAML).")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(
        no_args_is_help=True,
        help="The policy: show, try a changed one, apply.\n\nExample: `juggernaut policy show`",
    )
    group.command("show")(show)
    group.command("try")(try_policy)
    group.command("apply")(apply_policy)
    app.add_typer(group, name="policy")


def show(json: JsonFlag = False, dsn: DsnOption = None) -> None:
    """Show which policy was applied last, and what holds now.

    Example: `juggernaut policy show`
    """
    emit_one(ask(dsn, lambda board: board.only("show_policy")), json)


def try_policy(
    file: FileArgument,
    last: Annotated[
        int, typer.Option("--last", min=1, max=LIMIT_MOST, help="On the last so many of them.")
    ] = 50,
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Say what a policy would have done to the last tasks that made a plan; nothing is changed.

    Example: `juggernaut policy try config/policy.yaml --last 100`
    """

    async def work(board: Board) -> list[Row]:
        """Assess the stored plans again."""
        from juggernaut.app.policy import attempt

        return await attempt(board, file, last)

    rows = ask(dsn, work)
    emit(rows if json else short(rows, "task_id"), COLUMNS, json, "plans")


def apply_policy(file: FileArgument, json: JsonFlag = False, dsn: DsnOption = None) -> None:
    """Write approvers and floors of a policy into the database; an operator does that.

    Workers read the other rules from their own config when they start.
    Example: `juggernaut policy apply config/policy.yaml`
    """

    async def work(board: Board) -> Row:
        """Apply, and read back what holds."""
        from juggernaut.app.policy import apply

        await apply(board, file)
        return await board.only("show_policy")

    emit_one(ask(dsn, work), json)
