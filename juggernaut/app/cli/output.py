"""What every command shares: rows as a table or JSON, one-line errors, exit codes.

Exit codes: 0 ok, 1 failed, 2 usage or configuration, 130 interrupted by the keyboard.
"""

from __future__ import annotations

import asyncio
import json as jsonlib
import re
import sys
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final, NoReturn, TypeVar
from uuid import UUID

import typer

from juggernaut.domain.errors import ConfigError, InvalidInput, JuggernautError

T = TypeVar("T")

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
# What only an operator may call, of what the commands call; the rest an approver may, too.
OPERATORS_OWN: Final = frozenset(
    {"apply_policy", "grant_capability", "limit_login", "revoke_capability", "set_budget"}
)
DENIED: Final = re.compile(r"permission denied for (\S+) (\S+)")

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
        value = moment(value)
    elif isinstance(value, Mapping | list | tuple):
        value = jsonlib.dumps(plain(value), ensure_ascii=False)
    return "".join(sign if sign.isprintable() or sign == "\n" else "\ufffd" for sign in str(value))


def moment(value: datetime) -> str:
    """Give a time as people here read it; the first and last days have no local time everywhere."""
    try:
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError):
        return value.isoformat(" ", "seconds")


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
    if not rows:
        sys.stdout.write(f"{cell(title)}: none\n" if title else "none\n")
        return
    from juggernaut.app.cli.table import write_table

    heads = [column.replace("_", " ") for column in columns]
    if write_table(heads, [[cell(row.get(name)) for name in columns] for row in rows], title):
        return
    # Too narrow for columns side by side: a block of lines for each row, without empty values.
    sys.stdout.write(f"{cell(title)}\n\n" if title else "")
    for row in rows:
        emit_one({name: row.get(name) for name in columns if cell(row.get(name))})
        sys.stdout.write("\n")


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
        fail(with_login(str(error)), EXIT_FAILED)
    except KeyboardInterrupt:
        fail("interrupted", EXIT_INTERRUPTED)


@contextmanager
def usage_errors() -> Iterator[None]:
    """Make a refused value a usage error: it stands on the command line."""
    try:
        yield
    except InvalidInput as error:
        raise ConfigError(str(error)) from None


def with_login(message: str) -> str:
    """Add to a refusal of PostgreSQL which login has the right.

    >>> with_login("permission denied for function set_budget")
    "permission denied for function set_budget: use the operator's address"
    """
    denied = DENIED.fullmatch(message)
    if denied is None:
        return message
    if denied[1] in ("database", "schema") or denied[2] in OPERATORS_OWN:
        return f"{message}: use the operator's address"
    return (
        f"{message}: use the address of an approver (`juggernaut login create approver NAME`),"
        " or the operator's"
    )


def run_async(work: Coroutine[object, object, T]) -> T:
    """Run a command's coroutine under `known_errors`."""
    with known_errors():
        return asyncio.run(work)


def database_url(dsn: str | None = None, config: str | None = None) -> str:
    """Give the operator's database: --dsn, else DATABASE_URL, else the settings file."""
    from juggernaut.app.setting_sources import load_settings

    return load_settings({"database_url": dsn}, config).settings.operator_dsn()
