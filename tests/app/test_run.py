"""`juggernaut run` as a real process against a real database: start, signals, end."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from httpx2 import AsyncClient

from tests.app.cli_process import call, start
from tests.fixtures_postgres import Database, Login

ROLES = ("analyst", "executor", "orchestrator", "strategist", "watchdog")
PATIENCE_SECONDS = 15.0
POLL_SECONDS = 0.05


@pytest.fixture
def worker_url(database: Database, worker_login: Login) -> str:
    """Give the address of the workers' own login."""
    return database.url_for(worker_login.name, worker_login.password)


async def until(
    connection: asyncpg.Connection[asyncpg.Record], question: str, *values: object
) -> object:
    """Ask again until the answer is true; gives it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        answer = await connection.fetchval(question, *values)
        if answer:
            return answer
        await asyncio.sleep(POLL_SECONDS)
    raise AssertionError(f"never true: {question}")


@asynccontextmanager
async def running(home: Path, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A `juggernaut run` that is dead after the block."""
    process = await start(home, "run", **settings)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def stopped(process: asyncio.subprocess.Process, number: signal.Signals) -> str:
    """Send a signal and wait for the end; gives the log."""
    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    return out.decode() + err.decode()


async def test_sigterm_of_an_idle_process_writes_offline_and_exits_0(
    database: Database, worker_url: str, tmp_path: Path
) -> None:
    """All five roles in one process; every log line is JSON with message and level."""
    connection = await database.connect()
    async with running(tmp_path, WORKER_DATABASE_URL=worker_url) as process:
        five = "SELECT count(*) = 5 FROM worker_registry WHERE status IN ('idle', 'active')"
        await until(connection, five)
        began = time.monotonic()
        log = await stopped(process, signal.SIGTERM)
        assert process.returncode == 0, log
        assert time.monotonic() - began < 5
    rows = await connection.fetch("SELECT worker_type, status FROM worker_registry ORDER BY 1")
    assert [(row["worker_type"], row["status"]) for row in rows] == [
        (role, "offline") for role in ROLES
    ]
    for line in log.splitlines():
        assert {"message", "level"} <= set(json.loads(line)), line


async def test_a_shared_login_drops_to_the_worker_role(database: Database, tmp_path: Path) -> None:
    """With only DATABASE_URL the process still has a worker's rights and no more."""
    connection = await database.connect()
    settings = {"DATABASE_URL": database.url, "WORKER_TYPE": "watchdog", "WORKER_ID": "dog-1"}
    async with running(tmp_path, **settings) as process:
        await until(connection, "SELECT true FROM worker_registry WHERE worker_id = 'dog-1'")
        login = await connection.fetchval("SELECT login FROM juggernaut.sessions")
        assert login == "juggernaut_worker"
        await stopped(process, signal.SIGTERM)
        assert process.returncode == 0


async def test_several_roles_share_a_worker_id(
    database: Database, worker_url: str, tmp_path: Path
) -> None:
    """Each gets the role behind it."""
    connection = await database.connect()
    settings = {"WORKER_TYPE": "watchdog,analyst", "WORKER_ID": "box"}
    async with running(tmp_path, WORKER_DATABASE_URL=worker_url, **settings) as process:
        await until(connection, "SELECT count(*) = 2 FROM worker_registry")
        rows = await connection.fetch("SELECT worker_id FROM worker_registry ORDER BY 1")
        assert [row["worker_id"] for row in rows] == ["box-analyst", "box-watchdog"]
        await stopped(process, signal.SIGINT)
        assert process.returncode == 0


async def test_once_does_its_duties_and_ends(
    database: Database, worker_url: str, tmp_path: Path
) -> None:
    """What a cron service starts."""
    ended = await call(
        tmp_path, "run", "--once", "--type", "watchdog", WORKER_DATABASE_URL=worker_url
    )
    assert ended.code == 0, ended.out + ended.err
    connection = await database.connect()
    assert await connection.fetchval("SELECT status FROM worker_registry") == "offline"


async def test_a_database_without_the_schema_is_told_at_the_start(
    empty_database: Database, tmp_path: Path
) -> None:
    """One line with the remedy, exit code 1, nothing registered."""
    ended = await call(tmp_path, "run", DATABASE_URL=empty_database.url)
    assert ended.code == 1
    assert "juggernaut migrate" in ended.err
    assert len(ended.err.splitlines()) == 1


async def test_sigterm_ends_the_wait_for_a_database(tmp_path: Path) -> None:
    """A process that cannot connect yet stops at once, and well."""
    dsn = "postgresql://op:FAKE@127.0.0.1:1/none"
    async with running(tmp_path, DATABASE_URL=dsn) as process:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
        assert json.loads(line)["message"] == "database unreachable"
        await stopped(process, signal.SIGTERM)
        assert process.returncode == 0


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a bare repository with one commit."""
    work, bare = tmp_path / "work", tmp_path / "work.git"
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.invalid")
    work.mkdir()
    (work / "README.md").write_text("a repository\n")
    for argv in (
        ("init", "-q", "-b", "main", str(work)),
        ("-C", str(work), "add", "."),
        (*identity, "-C", str(work), "commit", "-q", "-m", "first"),
        ("clone", "-q", "--bare", str(work), str(bare)),
    ):
        subprocess.run(["git", *argv], check=True, capture_output=True)
    return bare


async def add_command(connection: asyncpg.Connection[asyncpg.Record], *argv: str) -> UUID:
    """Insert a task that runs a command."""
    task: UUID = await connection.fetchval(
        "INSERT INTO governance_tasks (title, task_type, risk_level, acceptance_criteria, payload)"
        " VALUES ('run it', 'command', 'low', 'it ends', $1::jsonb) RETURNING id",
        json.dumps({"command": list(argv)}),
    )
    return task


async def test_sigterm_gives_a_long_task_back_without_burning_an_attempt(
    database: Database, worker_url: str, repository: Path, tmp_path: Path
) -> None:
    """The command is killed, the task is pending again, and no attempt is counted."""
    connection = await database.connect()
    task = await add_command(connection, "sleep", "300")
    settings = {
        "WORKER_DATABASE_URL": worker_url,
        "WORKER_TYPE": "executor",
        "JUGGERNAUT_REPO": str(repository),
        "JUGGERNAUT_DRAIN_SECONDS": "0.2",
    }
    async with running(tmp_path, **settings) as process:
        await until(
            connection, "SELECT status = 'in_progress' FROM governance_tasks WHERE id = $1", task
        )
        log = await stopped(process, signal.SIGTERM)
        assert process.returncode == 0, log
    row = await connection.fetchrow("SELECT * FROM governance_tasks WHERE id = $1", task)
    assert row is not None
    assert (row["status"], row["attempts"]) == ("pending", 0), log


async def test_a_second_signal_does_not_wait_for_attempts(
    database: Database, worker_url: str, repository: Path, tmp_path: Path
) -> None:
    """The first drains for a long time, the second ends at once; the task is given back."""
    connection = await database.connect()
    task = await add_command(connection, "sleep", "300")
    settings = {
        "WORKER_DATABASE_URL": worker_url,
        "WORKER_TYPE": "executor",
        "JUGGERNAUT_REPO": str(repository),
        "JUGGERNAUT_DRAIN_SECONDS": "300",
    }
    async with running(tmp_path, **settings) as process:
        await until(
            connection, "SELECT status = 'in_progress' FROM governance_tasks WHERE id = $1", task
        )
        assert process.stdout is not None
        process.send_signal(signal.SIGINT)
        while b"draining" not in await asyncio.wait_for(
            process.stdout.readline(), PATIENCE_SECONDS
        ):
            pass
        log = await stopped(process, signal.SIGINT)
        assert process.returncode == 130, log
    row = await connection.fetchrow("SELECT * FROM governance_tasks WHERE id = $1", task)
    assert row is not None
    assert (row["status"], row["attempts"]) == ("pending", 0), log


async def test_the_door_for_webhooks_is_open_while_it_runs(
    database: Database, worker_url: str, tmp_path: Path
) -> None:
    """With a secret and a port, on this machine only; it closes with the process."""
    secret = "FAKE-" + "webhook-secret"
    settings = {
        "WORKER_DATABASE_URL": worker_url,
        "WORKER_TYPE": "watchdog",
        "GITHUB_WEBHOOK_SECRET": secret,
        "PORT": "0",
    }
    async with running(tmp_path, **settings) as process:
        assert process.stdout is not None
        line: dict[str, object] = {}
        while line.get("message") != "http door open":
            said = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
            assert said, "the process ended"
            line = json.loads(said)
        assert line["host"] == "127.0.0.1"
        body = b'{"repository": {"full_name": "octo/app"}, "pull_request": {"number": 1}}'
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "x-github-event": "pull_request",
            "x-hub-signature-256": f"sha256={signature}",
        }
        async with AsyncClient(base_url=f"http://127.0.0.1:{line['port']}") as client:
            sent = await client.post("/webhooks/github", content=body, headers=headers)
            assert sent.status_code == 202
        log = await stopped(process, signal.SIGTERM)
        assert process.returncode == 0, log


async def test_a_notify_starts_work_without_waiting_for_the_poll(
    database: Database, worker_url: str, repository: Path, tmp_path: Path
) -> None:
    """With a poll every five minutes a task is still done within seconds."""
    connection = await database.connect()
    await connection.execute(
        "UPDATE juggernaut.thresholds SET value = 300 WHERE name = 'poll_seconds'"
    )
    settings = {
        "WORKER_DATABASE_URL": worker_url,
        "WORKER_TYPE": "executor",
        "JUGGERNAUT_REPO": str(repository),
    }
    async with running(tmp_path, **settings) as process:
        await until(connection, "SELECT true FROM juggernaut.sessions WHERE waiting")
        await until(
            connection,
            "SELECT true FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            " AND datname = current_database()",
        )
        task = await add_command(connection, "true")
        await until(connection, "SELECT started_at FROM governance_tasks WHERE id = $1", task)
        await stopped(process, signal.SIGTERM)
        assert process.returncode == 0
