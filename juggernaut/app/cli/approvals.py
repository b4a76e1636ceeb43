"""`approvals`, `approve`, `reject`: the decisions that wait for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from juggernaut.app.cli.known import task_id
from juggernaut.app.cli.output import DsnOption, JsonFlag, emit, emit_one
from juggernaut.app.cli.people import LimitOption, ask, short
from juggernaut.domain.errors import ConfigError, InvalidInput

if TYPE_CHECKING:
    from juggernaut.adapters.postgres.board import Board, Row

COLUMNS = (
    *("task_id", "risk_level", "gate", "title", "reason", "have", "need", "waiting_since"),
    *("cost_usd", "digest"),
)
DECIDED = ("id", "title", "status", "approved_by", "approved_at", "error_message")
DIGEST_CHARS = 12
HEX = frozenset("0123456789abcdef")
HOW_TO_READ = (
    "read one whole: `juggernaut task show ID --diff`, its part `what is asked` (or"
    " `juggernaut approvals --json`, its plan);"
    " approve just that: `juggernaut approve ID --digest DIGEST`"
)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The task's id, or its start.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("approvals")(approvals)
    app.command("approve")(approve)
    app.command("reject")(reject)


def approvals(limit: LimitOption = 100, json: JsonFlag = False, dsn: DsnOption = None) -> None:
    """List what waits for a decision, the longest waiting first.

    The table has the start of each digest, which `juggernaut approve --digest` takes; --json has
    the plan or diff behind it, and the whole digest.

    Example: `juggernaut approvals`
    """
    rows = ask(dsn, lambda board: board.rows("list_pending_approvals", limit))
    if json:
        emit(rows, COLUMNS, json)
        return
    started = [{**row, "digest": str(row["digest"] or "")[:DIGEST_CHARS]} for row in rows]
    emit(short(started, "task_id"), COLUMNS, title="approvals")
    if rows:
        typer.echo(HOW_TO_READ, err=True)


def approve(
    start: IdArgument,
    note: Annotated[str, typer.Option("--note", help="Kept with the decision.")] = "",
    digest: Annotated[
        str | None,
        typer.Option(
            "--digest",
            help="Approve only this content: its digest, or the start of it that `approvals`"
            f" shows ({DIGEST_CHARS} signs or more).",
        ),
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
        # Without a digest nobody may approve it: the database says why.
        chosen = waiting["digest"]
        if digest is not None and chosen is not None:
            chosen = whole_digest(digest, waiting)
        said = await board.only("decide_approve", waiting["task_id"], note, chosen)
        still = await request_of(board, waiting["task_id"])
        answer = str(said["approve_task"])
        if still is not None:
            ended = await board.row("show_ended_approvals", waiting["task_id"]) or {}
            answer = not_yet(waiting, still, ended.get("ended"))
        return {**await decided(board, waiting), "digest": chosen, "answer": answer}

    row = ask(dsn, work)
    emit_one(row, json)
    if row["status"] == "waiting_approval":
        typer.echo(f"note: {row['answer']}", err=True)


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
    row = await request_of(board, found)
    if row is None:
        raise InvalidInput(
            f"task {found} does not wait for a decision: see `juggernaut task why {found}`"
        )
    return row


async def request_of(board: Board, task: object) -> Row | None:
    """Give the open request of a task, if there is one."""
    return await board.row("show_pending_approval", task)


def whole_digest(start: str, waiting: Row) -> str:
    """Give the digest of the request that begins so; the database compares the whole one."""
    given, whole = start.strip().lower(), str(waiting["digest"])
    if len(given) < DIGEST_CHARS or not HEX.issuperset(given):
        raise ConfigError(
            f"{start[:80]!r} is no digest: give at least its first {DIGEST_CHARS} signs, as"
            " `juggernaut approvals` shows them"
        )
    if not whole.startswith(given):
        raise InvalidInput(
            f"the request has digest {whole}, not {given[:80]}: the plan changed, or it is another"
            " one's; read it again"
        )
    return whole


def not_yet(before: Row, now: Row, ended: object) -> str:
    """Say how many people are missing still, whether this approval was new, and which ended."""
    have, need = int(str(now["have"])), int(str(now["need"]))
    missing = need - have
    who = "one more person has" if missing == 1 else f"{missing} more people have"
    again = "this login approved it before, nothing changed; " if before["have"] == have else ""
    lapsed = f"; {ended}" if ended else ""
    return f"{again}{who} to approve ({have} of {need} so far){lapsed}"


async def decided(board: Board, waiting: Row) -> Row:
    """Read a task back after a decision."""
    row = await board.row("show_task", waiting["task_id"]) or {}
    return {name: row.get(name) for name in DECIDED}
