"""`approvals`, `approve`, `reject`: the decisions that wait for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from juggernaut.app.cli.known import task_id
from juggernaut.app.cli.output import DsnOption, JsonFlag, emit, emit_one
from juggernaut.app.cli.people import LimitOption, ask, short
from juggernaut.domain.errors import InvalidInput

if TYPE_CHECKING:
    from juggernaut.adapters.postgres.board import Board, Row

COLUMNS = ("task_id", "risk_level", "gate", "title", "reason", "have", "need", "waiting_since")
DECIDED = ("id", "title", "status", "approved_by", "approved_at", "error_message")
PENDING_MOST = 10_000

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The task's id, or its start.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("approvals")(approvals)
    app.command("approve")(approve)
    app.command("reject")(reject)


def approvals(limit: LimitOption = 100, json: JsonFlag = False, dsn: DsnOption = None) -> None:
    """List what waits for a decision, the longest waiting first; --json has plans and digests.

    Example: `juggernaut approvals`
    """
    rows = ask(dsn, lambda board: board.rows("list_pending_approvals", limit))
    emit(rows if json else short(rows, "task_id"), COLUMNS, json, "approvals")


def approve(
    start: IdArgument,
    note: Annotated[str, typer.Option("--note", help="Kept with the decision.")] = "",
    digest: Annotated[
        str | None,
        typer.Option("--digest", help="Approve only this content, as `approvals` shows it."),
    ] = None,
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Approve the plan or diff that waits now; the login in the address is who approves.

    Example: `juggernaut approve 9c41 --note "read it"`
    """

    async def work(board: Board) -> Row:
        """Decide, and read back what came of it."""
        waiting = await pending(board, start)
        chosen = digest or waiting["digest"]
        await board.rows("decide_approve", waiting["task_id"], note, chosen)
        return {**await decided(board, waiting), "digest": chosen}

    emit_one(ask(dsn, work), json)


def reject(
    start: IdArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; the task ends with it.")] = "",
    send_back: Annotated[
        str, typer.Option("--send-back", help="What to change; the task is planned again.")
    ] = "",
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Reject the plan or diff that waits: for good, or with feedback for a new one.

    Example: `juggernaut reject 9c41 --reason "not in a release week"`, or
    `juggernaut reject 9c41 --send-back "keep the old function as well"`
    """
    if bool(reason) == bool(send_back):
        raise typer.BadParameter("give either --reason (it ends) or --send-back (a new plan)")
    query = "decide_reject" if reason else "decide_send_back"

    async def work(board: Board) -> Row:
        """Decide, and read back what came of it."""
        waiting = await pending(board, start)
        await board.rows(query, waiting["task_id"], reason or send_back)
        return await decided(board, waiting)

    emit_one(ask(dsn, work), json)


async def pending(board: Board, start: str) -> Row:
    """Give what waits for a decision on one task; InvalidInput when nothing does."""
    found = await task_id(board, start)
    for row in await board.rows("list_pending_approvals", PENDING_MOST):
        if row["task_id"] == found:
            return row
    raise InvalidInput(
        f"task {found} does not wait for a decision: see `juggernaut task why {found}`"
    )


async def decided(board: Board, waiting: Row) -> Row:
    """Read a task back after a decision."""
    row = await board.row("show_task", waiting["task_id"]) or {}
    return {name: row.get(name) for name in DECIDED}
