"""`juggernaut demo`: the whole story on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from juggernaut.app.cli.output import EXIT_FAILED, EXIT_USAGE, JsonFlag, fail, run_async

if TYPE_CHECKING:
    from juggernaut.app.demo.story import Played

SECONDS: Final = 120.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Keep everything here instead of in a temporary folder."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave database and workers running at the end.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop what `--keep` left running in --dir, and end.")
    ] = False,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, help="Give up after so long.")
    ] = SECONDS,
    json: JsonFlag = False,
) -> None:
    """Show a goal become a merged commit: no key, no GitHub, no server is needed.

    It starts PostgreSQL and all five roles, a scripted model plans and codes, one task waits for
    an approval by SQL. Exit code 0 means that all of it happened. Example: `juggernaut demo`
    """
    if stop:
        stop_kept(folder)
        return
    played = run_async(_play(folder, seconds, keep, json))
    finish(played, keep, json)
    if played.outcome.missing:
        raise typer.Exit(EXIT_FAILED)


async def _play(folder: Path | None, seconds: float, keep: bool, json: bool) -> Played:
    """Play it; SIGTERM cleans up as Ctrl-C does."""
    from juggernaut.app.demo.board_view import view_for
    from juggernaut.app.demo.story import play
    from juggernaut.app.local_swarm import ends_on_sigterm

    with ends_on_sigterm():
        return await play(folder, view_for(json), seconds=seconds, keep=keep)


def finish(played: Played, keep: bool, json: bool) -> None:
    """Write the end."""
    from rich.console import Console

    from juggernaut.app.demo.telling import as_json, tell, tell_failure

    if json:
        sys.stdout.write(as_json(played, keep) + "\n")
    else:
        tell(played, Console())
        typer.echo("\n" + "\n".join(next_steps(played, keep)))
    if played.outcome.missing:
        tell_failure(played)


def next_steps(played: Played, keep: bool) -> list[str]:
    """Give three commands to try next."""
    if keep:
        place = played.stage.folder.parent
        dsn = f'--dsn "{played.stage.operator_url}"'
        return [
            "It still runs. Try next:",
            f"  juggernaut task list {dsn}",
            f"  juggernaut logs {dsn}",
            f"  juggernaut demo --dir {place} --stop",
        ]
    return [
        "Try next:",
        "  juggernaut demo --keep          # leave it running and look around with psql",
        '  juggernaut up --repo PATH --goal "..."   # the same with your repository and model key',
        "  juggernaut doctor               # is everything there for real work?",
    ]


def stop_kept(folder: Path | None) -> None:
    """Stop what an earlier command left running in a folder."""
    from juggernaut.app.local_swarm import stop_left_running

    if folder is None:
        fail("--stop needs --dir FOLDER: the one that was printed by --keep", EXIT_USAGE)
    if not folder.is_dir():
        fail(f"there is no folder {folder}: give --dir as --keep printed it", EXIT_USAGE)
    count = run_async(stop_left_running(folder))
    typer.echo(f"stopped {count} programs" if count else f"nothing was running in {folder}")
