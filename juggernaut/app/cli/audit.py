"""`audit`: the chain of events, what it is worth, and an anchor of it to keep elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from juggernaut.app.cli.output import (
    DsnOption,
    JsonFlag,
    emit,
    emit_one,
    fail,
    known_errors,
    usage_errors,
)
from juggernaut.app.cli.people import LimitOption, ask
from juggernaut.domain.errors import InvalidInput

if TYPE_CHECKING:
    from juggernaut.adapters.postgres.board import Board, Row

COLUMNS = ("seq", "at", "login", "application", "kind", "subject", "sealed")
ANCHOR_CHARS: Final = 10_000
NOTHING_SEALED: Final = "nothing is sealed yet: the watchdog seals every `sweep_seconds`"

Anchor: TypeAlias = tuple[str, str, int]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Who did what: list, verify, export.\n\nExample: `juggernaut audit verify`",
    )
    group.command("list")(list_events)
    group.command("verify")(verify)
    group.command("export")(export)
    app.add_typer(group, name="audit")


def list_events(
    subject: Annotated[
        str | None, typer.Option("--of", help="Only of this task, goal or name, or its start.")
    ] = None,
    limit: LimitOption = 100,
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """List what happened, the newest first; --json has what was before and after.

    Example: `juggernaut audit list --of 9c41`
    """
    rows = ask(dsn, lambda board: board.rows("list_events", limit, subject))
    emit(rows, COLUMNS, json, "events")


def verify(
    anchor: Annotated[
        Path | None,
        typer.Option("--anchor", help="A file of `audit export --json`: the chain must hold it."),
    ] = None,
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Compute the whole chain again; exit code 1 names the first bad row.

    Example: `juggernaut audit verify --anchor anchor.json`
    """
    with known_errors(), usage_errors():
        expected = None if anchor is None else read_anchor(anchor)

    async def work(board: Board) -> tuple[Row, bool]:
        """Ask the database, and look for the anchor."""
        found = await board.only("verify_audit")
        held = expected is None or await board.row("find_anchor", *expected) is not None
        return found, held

    found, held = ask(dsn, work)
    emit_one({**found, "anchor": None if expected is None else held}, json)
    if not found["ok"]:
        fail(f"the audit chain is broken: {found['first_bad']}")
    if not held and expected is not None:
        fail(f"the chain does not hold the anchor of {expected[2]} rows: it was cut or rewritten")


def export(json: JsonFlag = False, dsn: DsnOption = None) -> None:
    """Print the anchor: the newest seal. Keep it where the database's owner cannot write.

    Example: `juggernaut audit export --json > anchor.json`
    """
    row = ask(dsn, lambda board: board.row("export_anchor"))
    if row is None:
        fail(NOTHING_SEALED)
    emit_one(row, json)


def read_anchor(path: Path) -> Anchor:
    """Read an exported anchor; raises InvalidInput for anything else."""
    import json as jsonlib

    try:
        with path.open(encoding="utf-8") as file:
            given = jsonlib.loads(file.read(ANCHOR_CHARS))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"anchor {path} cannot be read: {error}") from None
    fields = given if isinstance(given, dict) else {}
    xid, digest, count = (fields.get(name) for name in ("xid", "digest", "count"))
    if (
        not isinstance(xid, str)
        or not re.fullmatch(r"[0-9]{1,19}", xid)
        or not isinstance(digest, str)
        or not re.fullmatch(r"[0-9a-f]{64}", digest)
        or not isinstance(count, int)
        or not 0 <= count < 2**63
    ):
        raise InvalidInput(f"anchor {path} is not what `juggernaut audit export --json` writes")
    return xid, digest, count
