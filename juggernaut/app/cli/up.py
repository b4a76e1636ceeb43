"""`juggernaut up`: a swarm on this machine for a repository of one's own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from juggernaut.app.cli.demo import stop_kept
from juggernaut.app.cli.output import EXIT_FAILED, EXIT_INTERRUPTED, ConfigOption, cell, run_async
from juggernaut.app.cli.run import RecordOption

if TYPE_CHECKING:
    from juggernaut.app.up import Ended, Wish


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up")(up)


def up(
    repo: Annotated[
        str, typer.Option("--repo", help="Your git repository, or owner/name at GitHub.")
    ] = ".",
    goal: Annotated[
        str | None, typer.Option("--goal", help="What you want; ends when it has ended.")
    ] = None,
    test: Annotated[
        str | None, typer.Option("--test", help="Test command; it is found where that is possible.")
    ] = None,
    script: Annotated[
        Path | None, typer.Option("--script", help="Scripted model instead of a model key.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Where its state is kept; it goes on from there.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep/--once", help="Leave it running when the goal has ended.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop what `--keep` left running in --dir, and end.")
    ] = False,
    record: RecordOption = None,
    config: ConfigOption = None,
) -> None:
    """Start database and workers for your repository; your checkout is not touched.

    Example: `juggernaut up --repo . --goal "the parser accepts empty files" --test
    "python -m pytest -q"`
    """
    if stop:
        stop_kept(folder)
        return
    from juggernaut.app.up import Wish

    wish = Wish(repo, goal, test, script, folder, keep, config, record)
    ended = run_async(_up(wish))
    if ended is None:
        typer.echo("stopped; the same command goes on from here")
        raise typer.Exit(EXIT_INTERRUPTED if goal else 0)
    if keep:
        typer.echo(f"it still runs; look at it: juggernaut task list{ended.dsn_option}")
        typer.echo(f"stop it with: juggernaut up --dir {ended.folder} --stop")
    finish(ended, goal is not None)


async def _up(wish: Wish) -> Ended | None:
    """Run it; None when a person stopped it."""
    from juggernaut.app.demo.board_view import view_for
    from juggernaut.app.local_swarm import ends_on_sigterm
    from juggernaut.app.opaque import make_opaque
    from juggernaut.app.setting_sources import load_settings
    from juggernaut.app.up import prepared, serve

    make_opaque()  # it holds what its workers are given, and their commands run beside it
    loaded = load_settings({"record": wish.record}, wish.config)
    ready = prepared(wish, loaded)
    with ends_on_sigterm():
        try:
            return await serve(ready, loaded, view_for(quiet_output=False))
        except asyncio.CancelledError:
            return None


def finish(ended: Ended, wanted: bool) -> None:
    """Say how it ended; exit code 1 unless the goal was completed."""
    goal = ended.snapshot.goal
    for row in ended.merged:
        typer.echo(f"merged {row['merged_sha']} {cell(row['pull_url'])}: {cell(row['title'])}")
    if ended.merged and ended.repository.startswith("/"):
        typer.echo(f"take it over with: git pull {ended.repository} HEAD")
    for task in ended.snapshot.tasks:
        if task["status"] not in ("completed", "cancelled"):
            typer.echo(cell(f"{task['status']}: {task['title']} ({task['reason']})"))
    if ended.worker_exit is not None and not ended.snapshot.ended:
        typer.echo(f"the worker process ended with code {ended.worker_exit}:", err=True)
        typer.echo(cell(ended.worker_log), err=True)
    if wanted:
        typer.echo(f"goal {goal['status']}: {cell(goal['title'])}")
    if goal["status"] != "completed":
        raise typer.Exit(EXIT_FAILED)
