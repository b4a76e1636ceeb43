"""`juggernaut doctor`: whether everything is there, and safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from juggernaut.app.cli.output import (
    EXIT_FAILED,
    ConfigOption,
    DsnOption,
    JsonFlag,
    emit,
    run_async,
)

if TYPE_CHECKING:
    from juggernaut.app.doctor import Finding
    from juggernaut.app.setting_sources import Loaded


def doctor(
    offline: Annotated[
        bool, typer.Option("--offline", help="Only this machine: no database, no network.")
    ] = False,
    json: JsonFlag = False,
    dsn: DsnOption = None,
    config: ConfigOption = None,
) -> None:
    """Check this installation; exit code 1 when something fails.

    Example: `juggernaut doctor --offline`
    """
    findings = run_async(examine(offline, dsn, config))
    rows = [finding.row() for finding in findings]
    emit(rows, ["level", "check", "detail", "remedy"], json, "doctor")
    if any(finding.level == "fail" for finding in findings):
        raise typer.Exit(EXIT_FAILED)


async def examine(offline: bool, dsn: str | None, config: str | None) -> list[Finding]:
    """Run the checks."""
    from juggernaut.app import doctor as checks
    from juggernaut.app.doctor_github import check_github, repositories
    from juggernaut.app.setting_sources import load_settings

    def load() -> Loaded:
        """Read the settings."""
        return load_settings({"database_url": dsn}, config)

    findings, loaded = await checks.offline(load)
    if loaded is not None:
        repos: list[str] = []
        if not offline:
            findings += await checks.online(loaded)
            repos = await repositories(loaded.settings)
        findings += await check_github(loaded.settings, offline=offline, repos=repos)
    return findings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)
