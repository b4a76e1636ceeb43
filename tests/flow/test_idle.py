"""What an idle swarm costs: no model call, hardly a query, little memory; and a quick --version."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from tests.app.cli_process import environment
from tests.fakes.wire_anthropic import WireAnthropic
from tests.fakes.wire_server import KEY
from tests.fixtures_postgres import Database, operator
from tests.flow.wished import sample_bare
from tests.flow.workers import Swarm, swarm

__all__ = ["swarm"]

WINDOW_SECONDS = 60.0 if os.environ.get("JUGGERNAUT_TRIALS") == "full" else 15.0
QUERIES_PER_SECOND = 1.0
TOGETHER = 3  # duties come with jitter: in a short window a few of them meet
RESIDENT_KIB = 120 * 1024
VERSION_SECONDS = 0.3
VERSION_TRIALS = 5
# A backend that has gone idle tells what it counted within ten seconds (PGSTAT_IDLE_INTERVAL).
TOLD_SECONDS = 11.0
PATIENCE_SECONDS = 30.0
COUNT = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1"


async def count(outside: asyncpg.Connection[asyncpg.Record], name: str) -> int:
    """Count the transactions of a database so far; every statement of ours is one at least."""
    found: int = await outside.fetchval(COUNT, name)
    return found


async def until_idle(swarm: Swarm, roles: int) -> None:
    """Wait until so many workers have said that they wait for work."""
    end = time.monotonic() + PATIENCE_SECONDS
    question = "SELECT count(*) FROM juggernaut.sessions WHERE waiting"
    while await swarm.operator.fetchval(question) < roles:
        assert time.monotonic() < end, "the workers never became idle"
        await asyncio.sleep(0.1)


def name_of(database: Database) -> str:
    """Give the name of a database."""
    return database.url.rpartition("/")[2]


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_an_idle_executor_asks_no_model_and_hardly_the_database(
    swarm: Swarm, postgres_server: str
) -> None:
    """Counted by the server, from another database, so that nothing of the test is in it."""
    name = name_of(swarm.database)
    async with WireAnthropic() as server, operator(postgres_server) as outside:
        settings = {
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": server.url,
            "JUGGERNAUT_REPO": str(await asyncio.to_thread(sample_bare, swarm.folder)),
        }
        async with swarm.workers("executor", LOG_LEVEL="error", **settings):
            await until_idle(swarm, 1)
            await asyncio.sleep(TOLD_SECONDS)
            before, began = await count(outside, name), time.monotonic()
            await asyncio.sleep(WINDOW_SECONDS)
            queries, seconds = await count(outside, name) - before, time.monotonic() - began
        assert server.requests == []
    assert await swarm.operator.fetchval("SELECT count(*) FROM juggernaut.model_calls") == 0
    assert 0 < queries <= seconds * QUERIES_PER_SECOND + TOGETHER, (
        f"{queries} queries in {seconds:.1f} s"
    )


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_five_idle_roles_fit_in_120_mb(swarm: Swarm) -> None:
    """Resident memory of the one process, as the kernel tells it."""
    settings = {
        "ANTHROPIC_API_KEY": KEY,
        "JUGGERNAUT_REPO": str(await asyncio.to_thread(sample_bare, swarm.folder)),
        "LOG_LEVEL": "error",
    }
    async with swarm.workers("all", **settings) as printed:
        await until_idle(swarm, 5)
        pid = await swarm.operator.fetchval("SELECT DISTINCT pid FROM worker_registry")
        resident = resident_kib(pid)
    assert printed == [""]
    assert 0 < resident < RESIDENT_KIB, f"{resident / 1024:.0f} MB"


def resident_kib(pid: int) -> int:
    """Give the resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def seconds_of_children() -> float:
    """Give the processor time of what ended; it does not tell how busy the machine is."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


@pytest.mark.slow
def test_the_version_is_there_at_once(tmp_path: Path) -> None:
    """The best of five, in time on a processor: a ceiling against a heavy import, no benchmark."""
    times = []
    for _ in range(VERSION_TRIALS):
        began = seconds_of_children()
        ended = subprocess.run(
            [sys.executable, "-m", "juggernaut", "--version"],
            cwd=Path(__file__).parents[2],
            env=environment(tmp_path, {}),
            capture_output=True,
            check=True,
        )
        times.append(seconds_of_children() - began)
        assert ended.stdout.startswith(b"juggernaut")
    assert min(times) < VERSION_SECONDS, times
