"""`juggernaut config`: which settings hold, and where each came from."""

from __future__ import annotations

from typing import Annotated

import typer

from juggernaut.app.cli.output import ConfigOption, DsnOption, JsonFlag, emit, known_errors


def show_config(
    explain: Annotated[
        bool, typer.Option("--explain", help="Show defaults and sources too, not only what is set.")
    ] = False,
    json: JsonFlag = False,
    dsn: DsnOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the settings (secrets masked).

    Example: `WORKER_TYPE=executor juggernaut config --explain`
    """
    with known_errors():
        from juggernaut.app.setting_sources import load_settings

        rows = list(load_settings({"database_url": dsn}, config).explain())
        if not explain:
            rows = [row for row in rows if row["source"] != "default"]
        columns = ["setting", "value", *(["source", "variable"] if explain else [])]
        emit(rows, columns, json, "settings")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("config")(show_config)
