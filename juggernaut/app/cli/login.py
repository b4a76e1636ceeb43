"""`juggernaut login`: database logins for workers, plain-SQL programs, approvers and readers."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from juggernaut.app.cli.known import check_role
from juggernaut.app.cli.output import DsnOption, JsonFlag, database_url, emit, emit_one, run_async
from juggernaut.domain.errors import ConfigError

NameArgument = Annotated[str, typer.Argument(help="The login: a-z, 0-9 and _.")]
KindArgument = Annotated[str, typer.Argument(help="worker, plain, approver or reader.")]
ConnectionsOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="How many it may have open at once; without it a worker 100, the others 20."
    ),
]


def create(
    kind: KindArgument,
    name: NameArgument,
    connections: ConnectionsOption = None,
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Create a login and write its URL, alone, to standard output.

    A `plain` one works by the statements of the worker instructions alone: it has none of the
    daemon's functions, so `juggernaut run` cannot use it, and its merges are verified by others.

    Example: `export WORKER_DATABASE_URL=$(juggernaut login create worker swarm)`
    """

    async def work() -> str:
        """Create it."""
        from juggernaut.app.logins import create_login

        return await create_login(database_url(dsn), kind, name, connections)

    url = run_async(work())
    if json:
        emit_one({"name": name, "kind": kind, "url": url}, json)
    else:
        sys.stdout.write(url + "\n")


def list_all(json: JsonFlag = False, dsn: DsnOption = None) -> None:
    """List the logins.

    Example: `juggernaut login list --json`
    """

    async def work() -> list[dict[str, object]]:
        """Ask for them."""
        from juggernaut.app.logins import list_logins

        return await list_logins(database_url(dsn))

    emit(run_async(work()), ["name", "kind", "connections", "most"], json, "logins")


def limit(
    name: NameArgument,
    roles: Annotated[
        list[str] | None, typer.Argument(help="The roles, for instance executor analyst.")
    ] = None,
    any_role: Annotated[bool, typer.Option("--any", help="Take the limit away.")] = False,
    dsn: DsnOption = None,
) -> None:
    """Let a worker's login work as these roles only; its sessions from now on.

    Example: `juggernaut login limit swarm executor analyst`
    """

    async def work() -> None:
        """Limit it."""
        from juggernaut.app.logins import check_name, limit_login

        if any_role == bool(roles):
            raise ConfigError("name one role or more, or --any alone to take the limit away")
        for role in roles or []:
            check_name(role)
            await check_role(dsn, role)
        await limit_login(database_url(dsn), name, roles or [])

    run_async(work())
    sys.stderr.write(f"{name} works as {', '.join(roles) if roles else 'any role'}\n")


def drop(name: NameArgument, dsn: DsnOption = None) -> None:
    """Drop a login; what it wrote stays.

    Example: `juggernaut login drop ada`
    """

    async def work() -> None:
        """Drop it."""
        from juggernaut.app.logins import drop_login

        await drop_login(database_url(dsn), name)

    run_async(work())
    sys.stderr.write(f"dropped {name}\n")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    family = typer.Typer(
        no_args_is_help=True,
        help="Database logins: create, list, limit, drop.\n\n"
        "Example: `juggernaut login create approver ada`",
    )
    family.command("create")(create)
    family.command("list")(list_all)
    family.command("limit")(limit)
    family.command("drop")(drop)
    app.add_typer(family, name="login")
