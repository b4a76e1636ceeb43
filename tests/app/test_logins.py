"""Logins are made with one group's rights, a password that no log shows, and a working URL."""

from __future__ import annotations

import secrets
from pathlib import Path

import asyncpg
import pytest

from juggernaut.app.logins import (
    create_login,
    drop_login,
    limit_login,
    list_logins,
    url_of,
    usual,
)
from juggernaut.domain.errors import ConfigError, InvalidInput
from tests.app.cli_process import call
from tests.fixtures_postgres import Database


@pytest.fixture
def name() -> str:
    """Give a login name that no other test uses (logins are the server's, not a database's)."""
    return f"test_{secrets.token_hex(6)}"


async def test_the_url_alone_stands_on_standard_output(
    database: Database, name: str, tmp_path: Path
) -> None:
    """It connects, with the worker's rights and no others."""
    ended = await call(tmp_path, "login", "create", "worker", name, DATABASE_URL=database.url)
    assert ended.code == 0
    assert ended.err == ""
    url = ended.out.strip()
    assert len(ended.out.splitlines()) == 1
    connection = await asyncpg.connect(url)
    try:
        for group, has in (("worker", True), ("approver", False), ("owner", False)):
            role = f"juggernaut_{group}"
            found = await connection.fetchval("SELECT pg_has_role($1, 'MEMBER')", role)
            assert found is has
    finally:
        await connection.close()
    ended = await call(tmp_path, "login", "list", "--json", DATABASE_URL=database.url)
    listed = {row["name"]: row for row in ended.rows()}[name]
    assert (listed["kind"], listed["connections"]) == ("worker", 0)
    assert isinstance(most := listed["most"], int)
    assert 8 <= most <= usual("worker", 1000)
    ended = await call(tmp_path, "login", "drop", name, DATABASE_URL=database.url)
    assert ended.code == 0
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url)


async def test_a_login_is_limited_to_roles(database: Database, name: str, tmp_path: Path) -> None:
    """It opens sessions as these only, until the limit is taken away; wrong words do nothing."""
    connection = await asyncpg.connect(await create_login(database.url, "worker", name))
    opens = "SELECT count(*) FROM juggernaut.open_session_v1($1, $2, '{}')"
    try:
        for words, code, told in (
            ((), 2, "--any"),
            (("executor", "--any"), 2, "--any"),
            (("Executor",), 2, "not allowed"),
            (("executor", "executer"), 2, "'executer' is no role: use one of analyst, executor"),
            (("executor", "analyst"), 0, f"{name} works as executor, analyst"),
        ):
            ended = await call(tmp_path, "login", "limit", name, *words, DATABASE_URL=database.url)
            assert (ended.code, told in ended.err) == (code, True), ended
        assert await connection.fetchval(opens, "w1", "analyst") == 1
        with pytest.raises(asyncpg.PostgresError, match="may not work as 'orchestrator'"):
            await connection.execute(opens, "w2", "orchestrator")
        ended = await call(tmp_path, "login", "limit", name, "--any", DATABASE_URL=database.url)
        assert (ended.code, ended.err) == (0, f"{name} works as any role\n")
        assert await connection.fetchval(opens, "w2", "orchestrator") == 1
        with pytest.raises(InvalidInput, match="no worker's login"):
            await limit_login(database.url, "postgres", ["executor"])
    finally:
        await connection.close()
        await drop_login(database.url, name)


async def test_the_server_gets_a_verifier_and_not_the_password(
    database: Database, name: str
) -> None:
    """What is stored is SCRAM, made here."""
    url = await create_login(database.url, "reader", name)
    try:
        connection = await database.connect()
        stored = await connection.fetchval(
            "SELECT rolpassword FROM pg_authid WHERE rolname = $1", name
        )
        assert str(stored).startswith("SCRAM-SHA-256$4096:")
        await (await asyncpg.connect(url)).close()
    finally:
        await drop_login(database.url, name)


async def test_a_second_login_of_the_name_is_refused(database: Database, name: str) -> None:
    """One clear error, and the first stays."""
    await create_login(database.url, "reader", name)
    try:
        with pytest.raises(InvalidInput, match="exists already"):
            await create_login(database.url, "worker", name)
        kinds = {row["name"]: row["kind"] for row in await list_logins(database.url)}
        assert kinds[name] == "reader"
    finally:
        await drop_login(database.url, name)


@pytest.mark.parametrize(
    "bad", ["", "Upper", "1st", "a-b", 'a"; DROP', "pg_x", "juggernaut_worker", "x" * 42]
)
async def test_names_that_are_refused_before_anything_is_sent(bad: str) -> None:
    """The address is nobody's: a connection would fail otherwise."""
    with pytest.raises(ConfigError, match="not allowed"):
        await create_login("postgresql://127.0.0.1:1/none", "worker", bad)


async def test_only_our_logins_are_dropped(database: Database) -> None:
    """The operator's own login stays."""
    with pytest.raises(InvalidInput, match="no login made here"):
        await drop_login(database.url, "postgres")


def test_the_address_keeps_everything_but_the_login() -> None:
    """Host, port, database and options stay; the old login goes, wherever it stood."""
    old = "postgresql://op:FAKE@[::1]:5433/db?sslmode=require&user=op&password=FAKE"
    assert url_of(old, "w", "p@/") == "postgresql://w:p%40%2F@[::1]:5433/db?sslmode=require"


@pytest.mark.parametrize("kind", ["plain", "reader"])
async def test_another_login_runs_no_worker(
    database: Database, name: str, tmp_path: Path, kind: str
) -> None:
    """`run` ends at once and `doctor` fails; both say which login is needed."""
    ended = await call(tmp_path, "login", "create", kind, name, DATABASE_URL=database.url)
    assert ended.code == 0, ended
    mine = {"WORKER_DATABASE_URL": ended.out.strip(), "WORKER_TYPE": "executor"}
    remedy = "juggernaut login create worker NAME"
    try:
        ended = await call(tmp_path, "run", **mine)
        assert (ended.code, ended.out) == (2, "")
        assert f"the login {name} is no worker's: {remedy}" in ended.err
        ended = await call(tmp_path, "doctor", **mine)
        assert ended.code == 1
        assert f"{name} is no juggernaut_worker" in ended.out
        assert remedy in ended.out
    finally:
        await drop_login(database.url, name)


async def test_a_plain_login_can_be_limited(database: Database, name: str) -> None:
    """It registers as these kinds of worker only, as a worker's login does."""
    connection = await asyncpg.connect(await create_login(database.url, "plain", name))
    register = "INSERT INTO worker_registry (worker_id, worker_type) VALUES ($1, $2)"
    try:
        await limit_login(database.url, name, ["analyst"])
        with pytest.raises(asyncpg.PostgresError, match="may not work as 'executor'"):
            await connection.execute(register, "one", "executor")
        await connection.execute(register, "two", "analyst")
    finally:
        await connection.close()
        await drop_login(database.url, name)


async def test_a_login_has_bounds(database: Database, name: str, tmp_path: Path) -> None:
    """Of connections and temporary files; doctor names those without."""
    words = ("login", "create", "reader", name, "--connections", "2")
    ended = await call(tmp_path, *words, DATABASE_URL=database.url)
    assert ended.code == 0, ended
    hands = [await asyncpg.connect(ended.out.strip()) for _ in range(2)]
    try:
        assert await hands[0].fetchval("SHOW temp_file_limit") == "1GB"
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await asyncpg.connect(ended.out.strip())
        ended = await call(tmp_path, "doctor", "--json", DATABASE_URL=database.url)
        bounds = [row for row in ended.rows() if row["check"] == "login bounds"]
        assert not any(name in str(row["detail"]) for row in bounds)
        operator = await database.connect()
        await operator.execute(
            f"ALTER ROLE {name} CONNECTION LIMIT -1; ALTER ROLE {name} RESET ALL"
        )
        ended = await call(tmp_path, "doctor", "--json", DATABASE_URL=database.url)
        bounds = [row for row in ended.rows() if row["check"] == "login bounds"]
        assert [(row["level"], name in str(row["detail"])) for row in bounds] == [
            ("warn", True)
        ] * 2
    finally:
        for hand in hands:
            await hand.close()
        await drop_login(database.url, name)
    with pytest.raises(ConfigError, match="needs one at least"):
        await create_login("postgresql://127.0.0.1:1/none", "reader", name, 0)
