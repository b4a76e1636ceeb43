"""Two executors and a process with the other roles share one database; one executor is killed.

Real processes, a real kill -9. Every task completes, none twice, and what the killed executor
held is finished by the other one.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from pathlib import Path

import asyncpg
import pytest

from tests.app.cli_process import start
from tests.fixtures_postgres import Database, Login

TASKS = 200 if os.environ.get("JUGGERNAUT_TRIALS") == "full" else 40
KILL_AFTER = TASKS // 4
HELD_BY_ONE = (
    "SELECT true FROM juggernaut.attempts WHERE worker_id = 'one' AND ended_at IS NULL LIMIT 1"
)
OTHERS = "orchestrator,watchdog,analyst,strategist"
# A dead session is noticed after this many seconds; the default of a minute is for real life.
QUICK = {
    **{"session_seconds": 3, "heartbeat_seconds": 1, "sweep_seconds": 1},
    "expiry_base_seconds": 1,
}


def small_repository(folder: Path) -> Path:
    """Make a bare repository with one commit."""
    work, bare = folder / "work", folder / "small.git"
    work.mkdir()
    (work / "README.md").write_text("small\n")
    who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    for argv in (
        ("git", "init", "-q", "-b", "main", str(work)),
        ("git", "-C", str(work), "add", "."),
        ("git", "-C", str(work), *who, "commit", "-q", "-m", "start"),
        ("git", "clone", "-q", "--bare", str(work), str(bare)),
    ):
        subprocess.run(argv, check=True, capture_output=True)
    return bare


async def completed(connection: asyncpg.Connection[asyncpg.Record]) -> int:
    """Count the completed tasks."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM governance_tasks WHERE status = 'completed'"
    )
    return found


async def until_completed(
    connection: asyncpg.Connection[asyncpg.Record], number: int, seconds: float
) -> None:
    """Wait until so many tasks are completed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if await completed(connection) >= number:
            return
        await asyncio.sleep(0.1)
    board = await connection.fetch("SELECT status, count(*) FROM governance_tasks GROUP BY 1")
    raise AssertionError(f"not {number} completed after {seconds} s: {board}")


@pytest.mark.timeout(300)
async def test_kill_9_of_one_of_two_executors(
    database: Database, worker_login: Login, tmp_path: Path
) -> None:
    """Nothing is lost and nothing doubled."""
    repo = small_repository(tmp_path)
    connection = await database.connect()
    for name, value in QUICK.items():
        await connection.execute(
            "UPDATE juggernaut.thresholds SET value = $2 WHERE name = $1", name, value
        )
    await connection.execute(
        "INSERT INTO governance_tasks (title, task_type, payload, repo)"
        " SELECT 'task ' || n, 'command', '{\"command\": [\"true\"]}', $2"
        " FROM generate_series(1, $1::int) n",
        TASKS,
        str(repo),
    )
    url = database.url_for(worker_login.name, worker_login.password)
    processes = []
    try:
        for name, kind in (("one", "executor"), ("two", "executor"), ("rest", OTHERS)):
            home = tmp_path / name
            home.mkdir()
            processes.append(
                await start(
                    home,
                    "run",
                    WORKER_DATABASE_URL=url,
                    WORKER_TYPE=kind,
                    WORKER_ID=name,
                    LOG_LEVEL="error",
                )
            )
        await until_completed(connection, KILL_AFTER, 120)
        for _ in range(6_000):
            if await connection.fetchval(HELD_BY_ONE):
                break
            await asyncio.sleep(0.01)
        processes[0].kill()
        await until_completed(connection, TASKS, 200)
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.communicate()
    twice = await connection.fetch(
        "SELECT task_id FROM juggernaut.attempts WHERE ended_as = 'completed'"
        " GROUP BY task_id HAVING count(*) > 1"
    )
    assert twice == []
    assert await connection.fetch("SELECT * FROM law_violations") == []
    evidence = await connection.fetchval("SELECT count(DISTINCT task_id) FROM juggernaut.evidence")
    assert evidence == TASKS
    taken_over = await connection.fetch(
        "SELECT b.worker_id FROM juggernaut.attempts a JOIN juggernaut.attempts b"
        " ON b.task_id = a.task_id AND b.fence > a.fence"
        " WHERE a.ended_as = 'expired' AND a.worker_id = 'one' AND b.ended_as = 'completed'"
    )
    assert taken_over, "the killed executor held something, and another finished it"
    assert {row["worker_id"] for row in taken_over} == {"two"}
