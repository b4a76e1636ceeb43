"""`juggernaut migrate`: bring the schema up to date."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from juggernaut.app.cli.output import ConfigOption, DsnOption, JsonFlag, emit_one, run_async

if TYPE_CHECKING:
    from juggernaut.app.migrate import MigrationReport


def migrate_schema(
    json: JsonFlag = False, dsn: DsnOption = None, config: ConfigOption = None
) -> None:
    """Apply the migrations that are missing, and the policy once; a second run does nothing.

    Any number of processes may run it at once. Example: `juggernaut migrate --dsn "$DATABASE_URL"`
    """

    async def work() -> MigrationReport:
        """Apply them."""
        from juggernaut.app.policy import migrate_and_apply
        from juggernaut.app.setting_sources import load_settings

        loaded = load_settings({"database_url": dsn}, config)
        return await migrate_and_apply(loaded.settings.migration_dsn(), loaded.resources)

    report = run_async(work())
    if json:
        emit_one(
            {"applied": report.applied, "already": report.already, "version": report.version}, json
        )
    else:
        sys.stdout.write(f"applied {len(report.applied)}, schema is at {report.version}\n")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate")(migrate_schema)
