"""What a person types to name something: a word that names nothing is refused with what there is.

A wrong word is a usage error (exit code 2), an id that no row has a failure (1).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

import typer

from juggernaut.app.cli.output import usage_errors
from juggernaut.app.cli.people import LIMIT_MOST
from juggernaut.domain.errors import ConfigError

if TYPE_CHECKING:
    from uuid import UUID

    from juggernaut.adapters.postgres.board import Board

TITLE_CHARS: Final = 300  # as the tables have it
PURSE_KINDS: Final = ("goal", "task", "role", "type")


async def task_id(board: Board, start: str) -> UUID:
    """Give the one task whose id starts so."""
    from juggernaut.adapters.postgres.board import id_range

    with usage_errors():
        id_range(start, "task")
    return await board.task_id(start)


async def goal_id(board: Board, start: str) -> UUID:
    """Give the one goal whose id starts so."""
    from juggernaut.adapters.postgres.board import id_range

    with usage_errors():
        id_range(start, "goal")
    return await board.goal_id(start)


async def whole_scope(board: Board, dsn: str | None, scope: str) -> str:
    """Give a scope with its id in full; ConfigError when it names no role or task type."""
    kind, _, name = scope.partition(":")
    if kind == "goal":
        return f"goal:{await goal_id(board, name)}"
    if kind == "task":
        return f"task:{await task_id(board, name)}"
    if kind == "role":
        await check_role(dsn, name)
    elif kind == "type":
        await check_type(board, name)
    elif kind == "worker" and name not in await workers(board):
        typer.echo(
            f"note: no worker has the id {name!r} so far; `juggernaut workers` lists them",
            err=True,
        )
    return scope


async def workers(board: Board) -> set[object]:
    """Give the ids of the workers that registered."""
    return {row["worker_id"] for row in await board.rows("list_workers", LIMIT_MOST)}


async def check_role(dsn: str | None, name: str) -> None:
    """Refuse a role that has no file here, no grant and no worker."""
    check("role", name, await roles(dsn))


async def roles(dsn: str | None) -> set[str]:
    """Give the roles that have a file here, a grant or a worker."""
    from juggernaut.app.logins import working_roles
    from juggernaut.app.setting_sources import load_settings

    loaded = load_settings({"database_url": dsn})
    return {*loaded.all_roles(), *await working_roles(loaded.settings.operator_dsn())}


async def check_type(board: Board, name: str) -> None:
    """Refuse a type of task that the database does not know."""
    floors = (await board.only("show_policy"))["floors"]
    check("task type", name, [str(floor) for floor in floors] if isinstance(floors, dict) else [])


def check(what: str, name: str, known: Collection[str]) -> None:
    """Refuse a word that is not one of those there are."""
    if name not in known:
        raise ConfigError(f"{name[:80]!r} is no {what}: use one of {', '.join(sorted(known))}")


def check_purse(scope: str) -> None:
    """Refuse what is not of the form of a purse."""
    kind, _, name = scope.partition(":")
    if scope != "day" and not (kind in PURSE_KINDS and name):
        raise ConfigError(
            f"{scope[:80]!r} is no purse: use day, goal:ID, task:ID, role:NAME or type:NAME"
        )


def check_title(title: str) -> None:
    """Refuse a title that no table takes."""
    if not 1 <= len(title.strip()) <= TITLE_CHARS:
        raise ConfigError(
            f"a title has 1 to {TITLE_CHARS} characters, this one {len(title.strip())}"
        )
