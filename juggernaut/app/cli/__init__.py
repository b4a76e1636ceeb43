"""The command line: one file per command or family, each with `register(app)`."""

from __future__ import annotations

import errno
import importlib
import os
import sys
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

UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPIPE})

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


class CommandLine(typer.Typer):
    """The program: when its output cannot be written, it ends with one line and exit code 1."""

    def __call__(self, *arguments: object, **options: object) -> object:
        """Run a command; what is still in the buffer is written before the process ends."""
        try:
            try:
                return super().__call__(*arguments, **options)
            finally:
                if sys.stdout is not None:  # a service may have closed it
                    sys.stdout.flush()
        except OSError as error:
            if error.errno not in UNWRITABLE or error.filename or sys.stdout is None:
                raise
            # What is left in the buffer would fail once more when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if error.errno != errno.EPIPE:  # whoever closed the pipe knows
                sys.stderr.write(f"juggernaut: cannot write: {error.strerror}\n")
            sys.exit(1)


def build() -> typer.Typer:
    """Assemble the whole command line."""
    app = CommandLine(
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
