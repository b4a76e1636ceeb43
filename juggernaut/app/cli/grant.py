"""`grant`, `budget`, `pause`, `resume`: what an operator allows the swarm to do."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from juggernaut.app.cli.goals import money
from juggernaut.app.cli.output import DsnOption, JsonFlag, emit
from juggernaut.app.cli.people import ask

if TYPE_CHECKING:
    from juggernaut.adapters.postgres.board import Board, Row

SCOPE_KINDS = ("role", "type", "worker", "goal")
SPEND_COLUMNS = (
    "scope",
    "cap_usd",
    "spent_usd",
    "reserved_usd",
    "left_usd",
    "resets",
    "cap_tokens",
    "spent_tokens",
    "left_tokens",
)

ScopeArgument = Annotated[
    str,
    typer.Argument(
        help="`all`, `role:executor`, `type:code`, `worker:<worker id>` or `goal:<goal id>`."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("grant")(grant)
    app.command("budget")(budget)
    app.command("pause")(pause)
    app.command("resume")(resume)


def grant(
    worker_type: Annotated[str, typer.Argument(help="Worker type, for instance executor.")],
    task_type: Annotated[str, typer.Argument(help="Task type, for instance code.")],
    revoke: Annotated[bool, typer.Option("--revoke", help="Take it away instead.")] = False,
    dsn: DsnOption = None,
) -> None:
    """Let workers of a type claim tasks of a type.

    Example: `juggernaut grant auditor verification`
    """
    query = "revoke_type" if revoke else "grant_type"
    ask(dsn, lambda board: board.rows(query, worker_type, task_type))
    typer.echo(f"{worker_type} {'may no longer' if revoke else 'may'} claim {task_type} tasks")


def budget(
    scope: Annotated[str | None, typer.Argument(help="Purse to set, for instance day.")] = None,
    usd: Annotated[str | None, typer.Argument(help="New cap in US dollars.")] = None,
    tokens: Annotated[
        str | None,
        typer.Option("--tokens", help="New cap in tokens, or `none`; left out, it stays."),
    ] = None,
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Show the purses, or set the caps of one.

    Example: `juggernaut budget day 5.00 --tokens 2000000`
    """
    if scope is not None and usd is None:
        raise typer.BadParameter("give the new cap too, for instance `juggernaut budget day 5.00`")

    async def work(board: Board) -> list[Row]:
        """Set it if asked to, and read them all."""
        if scope is not None:
            await board.rows("set_budget", scope, money(usd), token_cap(tokens))
        return await board.rows("list_spend")

    emit(ask(dsn, work), SPEND_COLUMNS, json, "spend")


def token_cap(text: str | None) -> Decimal | None:
    """Read a cap on tokens: None leaves it as it is, infinity takes it away."""
    if text is None:
        return None
    if text == "none":
        return Decimal("Infinity")
    if not text.isascii() or not text.isdigit():
        raise typer.BadParameter(f"{text!r} is no number of tokens: write it like 2000000, or none")
    return Decimal(text)


def pause(
    scope: ScopeArgument = "all",
    reason: Annotated[str, typer.Option("--reason", help="Why; `why_idle` shows it.")] = "paused",
    dsn: DsnOption = None,
) -> None:
    """Stop new claims; running attempts end by themselves.

    Example: `juggernaut pause all --reason "release week"`
    """
    ask(dsn, lambda board: board.rows("pause_swarm", readable(scope), reason))
    typer.echo(f"paused: {scope}")


def resume(scope: ScopeArgument = "all", dsn: DsnOption = None) -> None:
    """Let claims go on.

    Example: `juggernaut resume all`
    """
    (row,) = ask(dsn, lambda board: board.rows("resume_swarm", readable(scope)))
    typer.echo(f"resumed: {scope}" if row["resumed"] else f"was not paused: {scope}")


def readable(scope: str) -> str:
    """Give a scope back if it has the form of one; raises BadParameter."""
    kind, _, name = scope.partition(":")
    if scope == "all" or (kind in SCOPE_KINDS and name):
        return scope
    raise typer.BadParameter(
        f"{scope!r} is no scope: use all, or one of {', '.join(SCOPE_KINDS)} with a name,"
        " for instance role:executor"
    )
