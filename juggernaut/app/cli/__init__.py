"""The command line: one file per command or family, each with `register(app)`."""

from __future__ import annotations

import importlib
from typing import Final

import typer

MODULES: Final = (
    "juggernaut.app.cli.run",
    "juggernaut.app.cli.migrate",
    "juggernaut.app.cli.doctor",
    "juggernaut.app.cli.config",
    "juggernaut.app.cli.login",
    "juggernaut.app.cli.goals",
    "juggernaut.app.cli.tasks",
    "juggernaut.app.cli.lists",
    "juggernaut.app.cli.report",
    "juggernaut.app.cli.approvals",
    "juggernaut.app.cli.grant",
    "juggernaut.app.cli.audit",
    "juggernaut.app.cli.policy",
    "juggernaut.app.cli.demo",
    "juggernaut.app.cli.up",
)

EPILOG: Final = """Try: `juggernaut demo` (a whole goal on this machine),
`juggernaut doctor` (is everything there?), `juggernaut run --type executor` (a worker),
`juggernaut config --explain` (which setting won?)."""


def version_line(show: bool) -> None:
    """Write the version and end; `juggernaut --version` alone never gets here (see __main__)."""
    if show:
        from juggernaut import __version__

        typer.echo(f"juggernaut {__version__}")
        raise typer.Exit


def root(
    version: bool = typer.Option(
        False, "--version", callback=version_line, is_eager=True, help="Show the version."
    ),
) -> None:
    """A swarm of autonomous workers that is governed by its PostgreSQL database."""


def build() -> typer.Typer:
    """Assemble the whole command line."""
    app = typer.Typer(
        name="juggernaut",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        epilog=EPILOG,
    )
    app.callback()(root)
    for name in MODULES:
        importlib.import_module(name).register(app)
    return app
