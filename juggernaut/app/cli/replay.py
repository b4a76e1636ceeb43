"""`juggernaut task replay` and `task fork`: what was recorded, again, or from a step on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from juggernaut.app.cli.known import task_id
from juggernaut.app.cli.output import (
    EXIT_FAILED,
    ConfigOption,
    DsnOption,
    JsonFlag,
    emit_one,
    run_async,
    usage_errors,
    write_block,
)
from juggernaut.app.cli.people import ask
from juggernaut.app.cli.task_show import IdArgument

if TYPE_CHECKING:
    from juggernaut.adapters.postgres.board import Board, Row


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A cassette: TASK-FENCE.jsonl.")],
    repo: Annotated[
        Path, typer.Option("--repo", help="The recorded repository, on this machine.")
    ] = Path(),
    base: Annotated[
        str | None,
        typer.Option("--base", help="Begin at this commit, not the recorded one.", metavar="SHA"),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Play a cassette without a model: real loop, real tools, fresh tree.

    Exit code 0: all is as recorded; 1: something differs; 2: the file cannot be played.

    Example: `juggernaut task replay 9c41...-1.jsonl --repo .`
    """
    from juggernaut.app.replay import replay as play
    from juggernaut.app.wiring import hidden_places

    found = run_async(play(file, str(repo.absolute()), base, hidden_places()))
    row = found.row()
    if json:
        emit_one(row, json)
    else:
        diff = row.pop("diff", None)
        emit_one(row)
        if isinstance(diff, list):
            write_block("recorded, and now", [str(line) for line in diff])
    if found.divergence is not None:
        raise typer.Exit(EXIT_FAILED)


def fork(
    start: IdArgument,
    from_step: Annotated[
        int, typer.Option("--from-step", min=1, help="The first step that a model is asked again.")
    ],
    model: Annotated[
        str | None, typer.Option("--model", help="An alias of models.yaml, or provider/model.")
    ] = None,
    cassette: Annotated[
        Path | None,
        typer.Option("--cassette", help="Its cassette; default: the newest in JUGGERNAUT_RECORD."),
    ] = None,
    json: JsonFlag = False,
    dsn: DsnOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a task that does the recorded steps of another one again, and then goes its own way.

    Steps before `--from-step` cost nothing. The workers need the cassette in their
    JUGGERNAUT_RECORD folder.

    Example: `juggernaut task fork 9c41 --from-step 4 --model fast`
    """

    async def work(board: Board) -> Row:
        """Check all that can be checked here, make the task, and read it back."""
        from juggernaut.app.forking import check_model, choose

        origin: UUID = await task_id(board, start)
        with usage_errors():
            check_model(model, config)
            chosen = choose(str(origin), cassette, from_step, config)
        made = await board.only("fork_task", origin, from_step, model, chosen.name, chosen.digest)
        return await board.only("show_task", made["id"])

    emit_one(ask(dsn, work), json)
