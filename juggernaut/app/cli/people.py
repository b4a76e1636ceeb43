"""What the commands for people share: a connection to the board, and ids as people see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from juggernaut.app.cli.output import database_url, run_async

if TYPE_CHECKING:
    from juggernaut.adapters.postgres.board import Board

T = TypeVar("T")

SHORT_ID_CHARS: Final = 8
LIMIT_MOST: Final = 10_000

LimitOption = Annotated[
    int, typer.Option("--limit", "-n", min=1, max=LIMIT_MOST, help="At most so many rows.")
]


def ask(dsn: str | None, work: Callable[[Board], Awaitable[T]]) -> T:
    """Connect, do the work of one command, and end with one line if it cannot be done."""
    return run_async(_connected(dsn, work))


async def _connected(dsn: str | None, work: Callable[[Board], Awaitable[T]]) -> T:
    """Do the work over a connection that is closed afterwards."""
    from juggernaut.adapters.postgres.board import open_board

    async with open_board(database_url(dsn)) as board:
        return await work(board)


def short(rows: Sequence[Mapping[str, object]], *ids: str) -> list[dict[str, object]]:
    """Give rows for a table: each id as the start of it, which every command accepts."""
    return [
        {name: _start(value) if name in ids else value for name, value in row.items()}
        for row in rows
    ]


def _start(value: object) -> object:
    """Cut an id; nothing stays nothing."""
    return None if value is None else str(value)[:SHORT_ID_CHARS]
