"""Who may migrate: the operator; every other login is told so in one line."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from juggernaut.app.demo.sample import script_text, write_sample
from juggernaut.app.migrate import migrate
from juggernaut.domain.errors import ConfigError
from tests.app.cli_process import call
from tests.app.commands import run
from tests.fixtures_postgres import MIGRATIONS, Database, Login, fresh_login

REMEDY = "use the operator's DATABASE_URL"


@pytest.fixture
async def plain_login(database: Database) -> AsyncIterator[Login]:
    """A login that is in no group of ours."""
    async with fresh_login(database, "pg_monitor") as login:
        yield login


async def test_no_other_login_may(
    database: Database,
    plain_login: Login,
    worker_login: Login,
    approver_login: Login,
    reader_login: Login,
) -> None:
    """Its name and the remedy are told, also where nothing is left to apply."""
    for login in (plain_login, worker_login, approver_login, reader_login):
        with pytest.raises(ConfigError) as caught:
            await migrate(database.url_for(login.name, login.password), MIGRATIONS)
        said = str(caught.value)
        assert f"login {login.name} may not migrate" in said
        assert REMEDY in said
        assert "\n" not in said


def test_as_a_command(database: Database, reader_login: Login) -> None:
    """Exit code 2 and one line."""
    ran = run(database, "migrate", login=reader_login)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert REMEDY in ran.err


async def test_up_says_the_same(database: Database, worker_login: Login, tmp_path: Path) -> None:
    """Exit code 2 and one line, where DATABASE_URL is not the operator's."""
    await write_sample(tmp_path / "checkout")
    (tmp_path / "script.yaml").write_text(script_text(), encoding="utf-8")
    argv = ["--repo", str(tmp_path / "checkout"), "--script", str(tmp_path / "script.yaml")]
    url = database.url_for(worker_login.name, worker_login.password)
    ended = await call(tmp_path, "up", "--goal", "x", *argv, DATABASE_URL=url)
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
    assert f"login {worker_login.name} may not migrate" in ended.err


async def test_a_login_that_may_make_nothing(empty_database: Database) -> None:
    """A database that was never migrated is not left half made by who may not."""
    async with fresh_login(empty_database, "pg_monitor") as login:
        with pytest.raises(ConfigError, match=f"{login.name} may not migrate.*{REMEDY}"):
            await migrate(empty_database.url_for(login.name, login.password), MIGRATIONS)


async def test_a_database_that_takes_no_writes(empty_database: Database, tmp_path: Path) -> None:
    """The first statement that writes is refused, and so is a file."""
    address = f"{empty_database.url}?options=-c%20default_transaction_read_only%3Don"
    connection = await asyncpg.connect(address)
    login = await connection.fetchval("SELECT session_user")
    await connection.close()
    with pytest.raises(ConfigError, match=f"login {login} .*read-only.*takes writes"):
        await migrate(address, tmp_path)
    await migrate(empty_database.url, tmp_path)
    (tmp_path / "0001_table.sql").write_text("CREATE TABLE here (id int);")
    said = re.escape("0001_table.sql failed") + ".*read-only.*takes writes"
    with pytest.raises(ConfigError, match=said):
        await migrate(address, tmp_path)
