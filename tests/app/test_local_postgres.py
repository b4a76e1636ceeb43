"""The launcher, with real servers, real kills and real second processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from juggernaut.app.local_postgres import postmaster, server, start, stop
from juggernaut.app.local_postgres.identity import choose_identity
from juggernaut.app.local_postgres.state import places
from tests.app.local_server import ask, kill_postmaster, until

REPO = Path(__file__).resolve().parents[2]
OTHER_PROCESS = """
import asyncio, concurrent.futures.thread, json, os, signal, sys
from pathlib import Path
from juggernaut.app.local_postgres import start
if sys.argv[3] != "same":
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(int(sys.argv[3]))
found = asyncio.run(start(Path(sys.argv[1]), durable=False))
sys.stdout.write(json.dumps([found.port, found.started_here, os.geteuid()]))
sys.stdout.flush()
if sys.argv[2] == "die":
    os.kill(os.getpid(), signal.SIGKILL)
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the server's user that has nothing to do with it; unreaped until the end."""
    process = choose_identity(Path("/nonexistent")).process()
    with subprocess.Popen(["sleep", "60"], cwd="/", **process) as sleeping:
        yield sleeping
        os.kill(sleeping.pid, signal.SIGKILL)


def claim_pid(pg_data_dir: Path, pid: int) -> None:
    """Write another PID into postmaster.pid, as its reuse by the kernel would have it."""
    path = pg_data_dir / "postmaster.pid"
    path.write_text("\n".join([str(pid), *path.read_text().split("\n")[1:]]))


async def other_process(pg_data_dir: Path, then: str = "end", user: int | None = None) -> list[int]:
    """Call start in another Python process: port, started_here, its user."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-B",
        "-c",
        OTHER_PROCESS,
        str(pg_data_dir),
        then,
        "same" if user is None else str(user),
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO), "HOME": "/"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == (-signal.SIGKILL if then == "die" else 0), err.decode()
    answer: list[int] = json.loads(out)
    return answer


async def test_start_attach_stop(pg_data_dir: Path) -> None:
    """The first call starts, the second attaches, stop stops once."""
    assert await stop(pg_data_dir) is False
    first = await start(pg_data_dir, durable=False)
    second = await start(pg_data_dir, durable=False, database="other base")
    assert (first.started_here, second.started_here) == (True, False)
    assert first.port == second.port
    assert await ask(first, "SELECT current_database()") == "juggernaut"
    connection = await asyncpg.connect(second.url("other base"))
    assert await connection.fetchval("SELECT current_database()") == "other base"
    await connection.close()
    assert await stop(pg_data_dir) is True
    assert await stop(pg_data_dir) is False
    again = await start(pg_data_dir, durable=False)
    assert (again.started_here, again.port) == (True, first.port)


async def test_settings_and_secrets(pg_data_dir: Path) -> None:
    """Durable by default, password login only, and the password is nobody else's to read."""
    found = await start(pg_data_dir)
    for name, value in [("fsync", "on"), ("full_page_writes", "on"), ("synchronous_commit", "on")]:
        assert await ask(found, f"SHOW {name}") == value
    assert await ask(found, "SHOW jit") == "off"
    assert await ask(found, "SHOW max_connections") == "200"
    assert await ask(found, "SHOW search_path") == "public"
    assert await ask(found, "SHOW server_encoding") == "UTF8"
    files = places(pg_data_dir)
    for path in (files.state, files.lock, files.log):
        assert path.stat().st_mode & 0o777 == 0o600
    assert found.password not in repr(found)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(replace(found, password="wrong").url())
    left = {path.name for path in pg_data_dir.parent.iterdir()}
    assert left == {"pgdata", "pgdata.lock", "pgdata.log", "pgdata.server.json"}


async def test_killed_postmaster_is_started_again_with_its_rows(pg_data_dir: Path) -> None:
    """Committed rows survive kill -9 (of a durable server: the others commit in memory)."""
    found = await start(pg_data_dir)
    await ask(found, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    kill_postmaster(found)
    after = await start(pg_data_dir)
    assert (after.started_here, after.port) == (True, found.port)
    assert await ask(after, "SELECT count(*) FROM kept") == 1000


@pytest.mark.parametrize("end", ["alive", "zombie"])
async def test_a_reused_pid_does_not_stand_in_the_way(
    pg_data_dir: Path, bystander: subprocess.Popen[bytes], end: str
) -> None:
    """The dead postmaster's PID belongs to another process of the same user, or to a zombie."""
    found = await start(pg_data_dir, durable=False)
    dead = kill_postmaster(found)
    await until(lambda: not postmaster.is_postmaster(dead, pg_data_dir))
    if end == "zombie":
        os.kill(bystander.pid, signal.SIGKILL)
    claim_pid(found.data_dir, bystander.pid)
    assert (await start(pg_data_dir, durable=False)).started_here
    assert await ask(found, "SELECT 1") == 1
    assert postmaster.recorded_pid(found.data_dir) != bystander.pid


async def test_start_waits_for_backends_that_outlive_their_postmaster(pg_data_dir: Path) -> None:
    """Two servers on one data folder would destroy it: PostgreSQL's own check stays in force."""
    found = await start(pg_data_dir, durable=False)
    connection = await asyncpg.connect(found.url())
    backend = int(await connection.fetchval("SELECT pg_backend_pid()"))
    os.kill(backend, signal.SIGSTOP)
    try:
        dead = kill_postmaster(found)
        await until(lambda: not postmaster.is_postmaster(dead, found.data_dir))
        starting = asyncio.create_task(start(pg_data_dir, durable=False))
        log = places(pg_data_dir).log
        await until(lambda: server.ORPHANS_LEFT in log.read_text())
        assert not starting.done()
    finally:
        os.kill(backend, signal.SIGKILL)
        connection.terminate()
    assert (await starting).started_here


async def test_only_one_of_several_processes_starts(pg_data_dir: Path) -> None:
    """The others wait at the lock and attach."""
    answers = await asyncio.gather(*(other_process(pg_data_dir) for _ in range(3)))
    assert len({port for port, _, _ in answers}) == 1
    assert sorted(started for _, started, _ in answers) == [False, False, True]


async def test_the_server_outlives_a_killed_starter(pg_data_dir: Path) -> None:
    """The next process attaches, with rows and all."""
    port, started, _ = await other_process(pg_data_dir, then="die")
    assert started
    found = await start(pg_data_dir, durable=False)
    assert (found.port, found.started_here) == (port, False)
    assert await stop(pg_data_dir)


@needs_root
async def test_a_normal_user_needs_no_dropping(pg_data_dir: Path) -> None:
    """The same start as an unprivileged user, in a folder of its own."""
    nobody = choose_identity(pg_data_dir)
    nobody.own(pg_data_dir.parent)
    _, started, uid = await other_process(pg_data_dir, user=nobody.uid)
    assert started
    assert uid == nobody.uid
    assert (await start(pg_data_dir, durable=False)).started_here is False
