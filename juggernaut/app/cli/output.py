"""What every command shares: rows as a table or JSON, one-line errors, exit codes.

Exit codes: 0 ok, 1 failed, 2 usage or configuration, 130 interrupted by the keyboard.
"""

from __future__ import annotations

import asyncio
import json as jsonlib
import sys
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final, NoReturn, TypeVar
from uuid import UUID

import typer

from juggernaut.domain.errors import ConfigError, JuggernautError

T = TypeVar("T")

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
SHORT_CELL_CHARS: Final = 16

JsonFlag = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]
DsnOption = Annotated[
    str | None,
    typer.Option("--dsn", help="PostgreSQL address; overrides DATABASE_URL.", metavar="URL"),
]
ConfigOption = Annotated[
    str | None,
    typer.Option("--config", help="Settings file (YAML); overrides JUGGERNAUT_CONFIG."),
]


def plain(value: object) -> object:
    """Give a value as JSON can hold it: times in ISO form, ids and money as text."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def cell(value: object) -> str:
    """Give a value as one table cell: no control characters that could drive a terminal."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        value = value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    elif isinstance(value, Mapping | list | tuple):
        value = jsonlib.dumps(plain(value), ensure_ascii=False)
    return "".join(sign if sign.isprintable() or sign == "\n" else "\ufffd" for sign in str(value))


def emit(
    rows: Sequence[Mapping[str, object]],
    columns: Sequence[str],
    json: bool = False,
    title: str = "",
) -> None:
    """Write rows to standard output: a JSON array of all fields, or a table of `columns`."""
    if json:
        text = jsonlib.dumps([plain(row) for row in rows], indent=2)  # ASCII: inert on a terminal
        sys.stdout.write(text + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left")
    for column in columns:
        # Short values stay whole; the room that is left goes to the long ones.
        widest = max((len(cell(row.get(column))) for row in rows), default=0)
        table.add_column(
            column.replace("_", " "), overflow="fold", no_wrap=widest <= SHORT_CELL_CHARS
        )
    for row in rows:
        table.add_row(*(Text(cell(row.get(column))) for column in columns))
    console = Console()
    if rows:
        console.print(table)
    else:
        console.print(Text(f"{title}: none" if title else "none"))


def emit_one(row: Mapping[str, object], json: bool = False) -> None:
    """Write one record: a JSON object, or a line per field."""
    if json:
        text = jsonlib.dumps(plain(row), indent=2)
        sys.stdout.write(text + "\n")
        return
    for name, value in row.items():
        # A value of several lines is indented, so that none of them looks like a field.
        text = cell(value).replace("\n", "\n    ")
        sys.stdout.write(f"{name}: {text}\n")


def write_block(title: str, lines: Sequence[str]) -> None:
    """Write a heading and lines as they are, without what could drive a terminal."""
    sys.stdout.write(f"\n{cell(title)}\n")
    sys.stdout.writelines(f"    {cell(line.expandtabs())}\n" for line in lines)


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """End the command with one line on standard error."""
    line = " ".join(cell(message).split())
    sys.stderr.write(f"juggernaut: {line}\n")
    raise typer.Exit(code)


@contextmanager
def known_errors() -> Iterator[None]:
    """Turn an error that has a name into one line and an exit code, not a traceback."""
    try:
        yield
    except ConfigError as error:
        fail(str(error), EXIT_USAGE)
    except JuggernautError as error:
        fail(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        fail("interrupted", EXIT_INTERRUPTED)


def run_async(work: Coroutine[object, object, T]) -> T:
    """Run a command's coroutine under `known_errors`."""
    with known_errors():
        return asyncio.run(work)


def database_url(dsn: str | None = None, config: str | None = None) -> str:
    """Give the operator's database: --dsn, else DATABASE_URL, else the settings file."""
    from juggernaut.app.setting_sources import load_settings

    return load_settings({"database_url": dsn}, config).settings.operator_dsn()
