"""`grant`, `budget`, `pause`, `resume`: what an operator allows the swarm to do."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from juggernaut.app.cli.goals import money
from juggernaut.app.cli.known import check_purse, check_type, roles, whole_scope
from juggernaut.app.cli.output import DsnOption, JsonFlag, emit
from juggernaut.app.cli.people import ask
from juggernaut.domain.errors import ConfigError, InvalidInput

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
    "reserved_tokens",
    "left_tokens",
)
CAP_MOST = Decimal(99_999_999)  # as the ledger takes it
TOKENS_MOST = 10**15

ScopeArgument = Annotated[
    str,
    typer.Argument(
        help="`all`, `role:executor`, `type:code`, `worker:<worker id>` or `goal:<goal id>`"
        " (the start of it is enough)."
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

    async def work(board: Board) -> None:
        """Give it, or take it away if it is there."""
        from juggernaut.app.logins import check_name

        check_name(worker_type)
        await check_type(board, task_type)
        known = await roles(dsn)
        there = f"the roles there are: {', '.join(sorted(known))}"
        if not revoke:
            await board.rows("grant_type", worker_type, task_type)
            if worker_type not in known:
                typer.echo(f"note: {worker_type} has no role file and no worker; {there}", err=True)
        elif not (await board.only("revoke_type", worker_type, task_type))["revoke_capability"]:
            raise InvalidInput(
                f"nothing changed: {worker_type} has no grant of {task_type}; {there}"
            )

    ask(dsn, work)
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
    if scope is None and tokens is not None:
        raise typer.BadParameter("name the purse, for instance `juggernaut budget day 5.00`")

    async def work(board: Board) -> list[Row]:
        """Set it if asked to, and read them all."""
        if scope is not None:
            check_purse(scope)
            caps = money(usd, CAP_MOST), token_cap(tokens)
            await board.rows("set_budget", await whole_scope(board, dsn, scope), *caps)
        return await board.rows("list_spend")

    emit(ask(dsn, work), SPEND_COLUMNS, json, "spend")


def token_cap(text: str | None) -> Decimal | None:
    """Read a cap on tokens: None leaves it as it is, infinity takes it away."""
    if text is None:
        return None
    if text == "none":
        return Decimal("Infinity")
    given = f"{text[:40]!r} is no number of tokens"
    if not text.isascii() or not text.isdigit():
        raise ConfigError(f"{given}: write it like 2000000, or none")
    amount = Decimal(text)
    if amount > TOKENS_MOST:
        raise ConfigError(f"{given}: it must be at most {TOKENS_MOST}, or none")
    return amount


def pause(
    scope: ScopeArgument = "all",
    reason: Annotated[str, typer.Option("--reason", help="Why; `why_idle` shows it.")] = "paused",
    dsn: DsnOption = None,
) -> None:
    """Stop new claims; running attempts end by themselves.

    Example: `juggernaut pause all --reason "release week"`
    """

    async def work(board: Board) -> str:
        """Find what is meant, and stop it."""
        if not reason.strip():
            raise ConfigError("give a reason: `why_idle` shows it to those who wait")
        meant = await whole_scope(board, dsn, readable(scope))
        await board.rows("pause_swarm", meant, reason)
        return meant

    typer.echo(f"paused: {ask(dsn, work)}")


def resume(scope: ScopeArgument = "all", dsn: DsnOption = None) -> None:
    """Let claims go on.

    Example: `juggernaut resume all`
    """

    async def work(board: Board) -> str:
        """Take the pause of exactly this name away, else that of the goal whose id starts so."""
        named = await board.only("resume_swarm", readable(scope))
        meant = scope
        if not named["resumed"] and scope.startswith("goal:"):
            meant = await whole_scope(board, dsn, scope)
            named = await board.only("resume_swarm", meant)
        return f"resumed: {meant}" if named["resumed"] else f"was not paused: {meant}"

    typer.echo(ask(dsn, work))


def readable(scope: str) -> str:
    """Give a scope back if it has the form of one; raises BadParameter."""
    kind, _, name = scope.partition(":")
    if scope == "all" or (kind in SCOPE_KINDS and name):
        return scope
    raise typer.BadParameter(
        f"{scope!r} is no scope: use all, or one of {', '.join(SCOPE_KINDS)} with a name,"
        " for instance role:executor"
    )
