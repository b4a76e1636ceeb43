"""Runs a command of the command line in this process against a test's database."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from juggernaut.app.cli import build
from tests.fixtures_postgres import Database, Login

WIDE = {"COLUMNS": "400", "TERM": "dumb", "NO_COLOR": "1"}


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Read standard output as JSON."""
        return json.loads(self.out)


def run(database: Database, *argv: str, login: Login | None = None) -> Ran:
    """Run `juggernaut argv --dsn ...` as the operator, or as one of the test's logins."""
    dsn = database.url_for(login.name, login.password) if login else database.url
    result = CliRunner().invoke(build(), [*argv, "--dsn", dsn], env=WIDE)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


def good(database: Database, *argv: str, login: Login | None = None) -> Any:
    """Run a command that has to succeed, with --json; gives what it wrote."""
    ran = run(database, *argv, "--json", login=login)
    assert ran.code == 0, ran.err
    return ran.json()
