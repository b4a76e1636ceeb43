"""`juggernaut task`: one row of governance_tasks, from adding to asking why it waits."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from juggernaut.app.cli.known import check, check_title, check_type, goal_id, task_id
from juggernaut.app.cli.output import DsnOption, JsonFlag, emit, emit_one, usage_errors
from juggernaut.app.cli.people import LimitOption, ask, short
from juggernaut.app.cli.replay import fork, replay
from juggernaut.app.cli.task_show import IdArgument, show
from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.limits import CRITERIA_PER_TASK, CRITERION_CHARS
from juggernaut.domain.model import Priority, Risk
from juggernaut.domain.states import TaskStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from juggernaut.adapters.postgres.board import Board, Row

COLUMNS = ("id", "task_type", "priority", "status", "risk_level", "worker", "title", "reason")
WHY_COLUMNS = ("reason", "owner", "deadline")
CHECK_MARK = " :: "

Criterion: TypeAlias = dict[str, object]

task = typer.Typer(
    no_args_is_help=True,
    help="Tasks: add, list, show, cancel, retry, why, replay, fork.\n\n"
    "Example: `juggernaut task list --status failed`",
)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(task, name="task")


@task.command("add")
def add(
    title: Annotated[str, typer.Argument(help="What is to be done, in one line.")],
    task_type: Annotated[str, typer.Option("--type", help="code, test, command, report, ...")],
    description: Annotated[str, typer.Option("--description", "-d", help="Details.")] = "",
    criterion: Annotated[
        list[str] | None,
        typer.Option(
            "--criterion",
            help="What must be true at the end; repeat it. `TEXT :: COMMAND` names its proof.",
        ),
    ] = None,
    priority: Annotated[str, typer.Option(help="critical, high, medium or low")] = "medium",
    risk: Annotated[str, typer.Option(help="low, medium, high or critical")] = "low",
    repo: Annotated[str | None, typer.Option(help="Repository; default JUGGERNAUT_REPO.")] = None,
    goal: Annotated[str | None, typer.Option(help="Goal it belongs to.", metavar="ID")] = None,
    command: Annotated[
        str | None, typer.Option(help="The command of a `command` task.", metavar="COMMAND")
    ] = None,
    needs: Annotated[
        list[str] | None, typer.Option("--needs", help="Task to wait for; repeat.", metavar="ID")
    ] = None,
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Add a task.

    Example: `juggernaut task add "Fix shorten()" --type code --criterion
    "the tests pass :: python -m unittest -q"`
    """

    async def work(board: Board) -> Row:
        """Add it and read it back."""
        check_title(title)
        check("priority", priority, list(Priority))
        check("risk level", risk, list(Risk))
        await check_type(board, task_type)
        with usage_errors():
            payload = {"command": words(command)} if command else {}
            wanted = [criterion_row(text) for text in criterion or []]
            check_work(task_type, payload, wanted)
        belongs = await goal_id(board, goal) if goal else None
        first = [await task_id(board, start) for start in needs or []]
        made = await board.only(
            "add_task",
            *(title, description, task_type, priority, risk, wanted, repo, belongs, payload),
            first,
        )
        return await board.only("show_task", made["id"])

    emit_one(ask(dsn, work), json)


@task.command("list")
def list_tasks(
    status: Annotated[str | None, typer.Option("--status", help="Only this status.")] = None,
    task_type: Annotated[str | None, typer.Option("--type", help="Only this type.")] = None,
    goal: Annotated[str | None, typer.Option(help="Only of this goal.", metavar="ID")] = None,
    limit: LimitOption = 50,
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """List tasks, the newest first.

    Example: `juggernaut task list --status failed --json`
    """

    async def work(board: Board) -> list[Row]:
        """Read the rows."""
        if status is not None:
            check("status of a task", status, list(TaskStatus))
        if task_type is not None:
            await check_type(board, task_type)
        belongs = await goal_id(board, goal) if goal else None
        return await board.rows("list_tasks", status, task_type, belongs, limit)

    rows = ask(dsn, work)
    emit(rows if json else short(rows, "id"), COLUMNS, json, "tasks")


task.command("show")(show)
task.command("replay")(replay)
task.command("fork")(fork)


@task.command("cancel")
def cancel(
    start: IdArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept.")],
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Cancel a task that is not finished.

    Example: `juggernaut task cancel 9c41 --reason "no longer wanted"`
    """
    emit_one(ask(dsn, lambda board: decide(board, "cancel_task", start, reason)), json)


@task.command("retry")
def retry(
    start: IdArgument,
    note: Annotated[str, typer.Option("--note", help="What is different now.")] = "",
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Let a failed or blocked task run again.

    Example: `juggernaut task retry 9c41 --note "the server is back"`
    """
    emit_one(ask(dsn, lambda board: decide(board, "retry_task", start, note)), json)


@task.command("why")
def why(start: IdArgument, json: JsonFlag = False, dsn: DsnOption = None) -> None:
    """Say why a task does not move, who has the next step, and until when.

    Example: `juggernaut task why 9c41`
    """

    async def work(board: Board) -> list[Row]:
        """Ask the database."""
        return await board.rows("explain_task", await task_id(board, start))

    emit(ask(dsn, work), WHY_COLUMNS, json, "why")


async def decide(board: Board, query: str, start: str, text: str) -> Row:
    """Call a function for people on one task; give the task as it stands then."""
    found = await task_id(board, start)
    said = str((await board.only(query, found, text))[query])
    if said.startswith("already "):
        raise InvalidInput(f"nothing changed: task {found} is {said}")
    row = await board.only("show_task", found)
    kept = ("id", "title", "status", "approved_by", "blocked_reason", "error_message")
    return {name: row.get(name) for name in kept}


def check_work(task_type: str, payload: Mapping[str, object], criteria: list[Criterion]) -> None:
    """Refuse a task that has nothing to run, or more criteria than the tables take."""
    if task_type == "command" and not payload:
        raise InvalidInput("a command task needs --command, for instance --command 'make lint'")
    if task_type == "verification" and not any("check" in row for row in criteria):
        raise InvalidInput(
            "a verification runs commands: give one with --criterion 'TEXT :: COMMAND',"
            " for instance --criterion 'the tests pass :: make test'"
        )
    if len(criteria) > CRITERIA_PER_TASK:
        raise InvalidInput(f"{len(criteria)} criteria: a task has at most {CRITERIA_PER_TASK}")


def criterion_row(text: str) -> Criterion:
    """Read `TEXT` or `TEXT :: COMMAND`.

    >>> criterion_row("it works :: make test")
    {'text': 'it works', 'check': ['make', 'test']}
    """
    said, mark, command = text.rpartition(CHECK_MARK)
    said = (said if mark else text).strip()
    if not 1 <= len(said) <= CRITERION_CHARS:
        raise InvalidInput(
            f"a criterion says in 1 to {CRITERION_CHARS} characters what must be true at the end;"
            f" {text[:80]!r} has {len(said)}"
        )
    return {"text": said, "check": words(command)} if mark else {"text": said}


def words(command: str) -> list[str]:
    """Split a command as a shell would; no shell ever runs it."""
    try:
        found = shlex.split(command)
    except ValueError as error:
        raise InvalidInput(f"the command {command[:80]!r} cannot be read: {error}") from None
    if not found or not all(found):
        raise InvalidInput(f"the command {command[:80]!r} has no words, or an empty one")
    return found
