"""Canaries in every secret, in what a model says and in what tests print: found in no output.

A swarm as a process, a provider on 127.0.0.1, a bare repository. Default: a whole run, and one
that is killed at 2 points of fixed seeds. Full: 20.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
import yaml

from juggernaut.app.demo.sample import TEST_COMMAND
from tests.app.cli_process import start
from tests.fakes.wire_openai import WireOpenAI
from tests.fakes.wire_server import Body, Refused, Seen
from tests.fixtures_postgres import Database, Login
from tests.flow.canaries import Search, hidden_program, shouted
from tests.flow.wished import git, sample_checkout, wire_script
from tests.flow.workers import stopped
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials

KILLS = trials(2, 20)
STEPS = 18  # log lines and model calls of a whole run, about
POLL_SECONDS = 0.01
RUN_SECONDS = 60.0
FILES = ("OPENAI_API_KEY", "GITHUB_TOKEN")
VARIABLES = ("ANTHROPIC_API_KEY", "OPENROUTER_API_KEY", "JUGGERNAUT_MODEL_KEY")
LEAK = """import unittest


class TestLeak(unittest.TestCase):
    def test_it_prints(self):
        {program}
"""
OPEN = "SELECT count(*) FROM governance_tasks WHERE status NOT IN ('completed', 'cancelled')"
STEPS_SO_FAR = "SELECT count(*) FROM execution_logs"


class Echo(WireOpenAI):
    """A provider whose first answer is an error with the key in it."""

    def __init__(self, script: Path, key: str) -> None:
        """Accept this key."""
        super().__init__(script)
        self.key = key
        self.watch: Callable[[], None] = lambda: None

    def answer(self, seen: Seen) -> Body:
        """Look around while a request is under way."""
        self.watch()
        if len(self.requests) == 1:
            raise Refused(529, f"overloaded, also for {self.key}")
        return super().answer(seen)


@dataclass(slots=True)
class Stage:
    """A database, canaries, and what was seen of the processes."""

    folder: Path
    database: Database
    worker: Login
    operator: asyncpg.Connection[asyncpg.Record]
    canaries: dict[str, str]
    seen: list[str] = field(default_factory=list)

    @property
    def search(self) -> Search:
        """Search for all of them."""
        return Search(self.canaries)

    def settings(self, home: Path, repository: Path, server: Echo) -> dict[str, str]:
        """Give an environment with a canary in every variable of a secret, or in its file."""
        for name in FILES:
            (self.folder / name).write_text(self.canaries[name])
        return {
            **{f"{name}_FILE": str(self.folder / name) for name in FILES},
            **{name: self.canaries[name] for name in VARIABLES},
            "DATABASE_URL": "postgresql://op:" + self.canaries["DATABASE_URL"] + "@127.0.0.1:1/x",
            "WORKER_DATABASE_URL": self.database.url_for(self.worker.name, self.worker.password),
            "OPENAI_BASE_URL": server.url,
            "JUGGERNAUT_MODEL": "openai/gpt-5.4-mini",
            "JUGGERNAUT_REPO": str(repository),
            "JUGGERNAUT_TEST_COMMAND": " ".join(TEST_COMMAND),
            "JUGGERNAUT_DATA_DIR": str(home / "data"),
            "LOG_LEVEL": "debug",
        }

    def repository(self, folder: Path) -> Path:
        """Make the sample, with a test that prints every canary without holding it."""
        checkout = sample_checkout(folder / "checkout")
        program = hidden_program(shouted(self.canaries.values()))
        (checkout / "tests" / "test_leak.py").write_text(LEAK.format(program=program))
        git(checkout, "add", "-A")
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        git(checkout, *who, "commit", "--quiet", "-m", "A test that prints")
        git(folder, "clone", "--quiet", "--bare", str(checkout), "origin.git")
        return folder / "origin.git"

    def script(self, file: Path) -> Path:
        """Let a model say every canary, in words, in files and in commands."""
        echo = shouted(self.canaries.values())
        script = yaml.safe_load(wire_script(file).read_text())
        plan, code = script["conversations"]
        plan["turns"][0]["text"] += echo
        for task in plan["turns"][0]["tools"][0]["arguments"]["tasks"]:
            task["description"] += f" The key is {self.canaries['OPENAI_API_KEY']}."
        printing = [sys.executable, "-c", hidden_program(echo)]
        said = [sys.executable, "-c", f"print({self.canaries['ANTHROPIC_API_KEY']!r})"]
        known = "\n".join(self.canaries.values())
        code["turns"][2:2] = [
            {"text": echo, "tools": [{"name": "run", "arguments": {"argv": printing}}]},
            {"text": echo, "tools": [{"name": "run", "arguments": {"argv": said}}]},
            {
                "text": "I keep it.",
                "tools": [{"name": "write", "arguments": {"path": "notes.txt", "content": known}}],
            },
        ]
        code["turns"][-1]["tools"][0]["arguments"]["summary"] += f" ({known[:200]})"
        file.write_text(yaml.safe_dump(script))
        return file

    async def _watch(self, server: Echo) -> None:
        """Look at the processes all the time, once they work: most commands live for an instant."""
        await asyncio.to_thread(server.wait_for_request)
        while True:
            await asyncio.sleep(POLL_SECONDS)
            server.watch()

    @asynccontextmanager
    async def running(self, number: int) -> AsyncIterator[tuple[Echo, Callable[[], None]]]:
        """Run a swarm for a goal of its own; at the end search all that is left."""
        home = self.folder / f"run-{number}"
        home.mkdir()
        repository = await asyncio.to_thread(self.repository, home)
        async with Echo(self.script(home / "wire.yaml"), self.canaries["OPENAI_API_KEY"]) as server:
            settings = self.settings(home, repository, server)
            process = await start(home, "run", **settings)
            reading = asyncio.create_task(process.communicate())
            server.watch = lambda: self.seen.extend(self.search.processes(process.pid))
            watching = asyncio.create_task(self._watch(server))
            try:
                await self.operator.execute("SELECT add_goal($1)", f"shorten keeps limit {number}")
                yield server, process.kill
            except AssertionError as error:
                said = "SELECT title, status, error_message, blocked_reason FROM governance_tasks"
                error.add_note(str([tuple(row) for row in await self.operator.fetch(said)]))
                error.add_note((await stopped(process, reading))[-2_000:])
                error.add_note(str([r.body["messages"][-1] for r in server.requests][3:]))
                raise
            finally:
                watching.cancel()
                printed = await stopped(process, reading)
            asked = [str(request.body) for request in server.requests]
            assert asked and printed
            search = self.search
            hits = [*self.seen, *search("printed", printed), *search("prompts", "\n".join(asked))]
            hits += await search.database(self.operator)
            hits += search.repository(repository) + search.folder(home / "data")
            assert hits == [], f"{len(hits)} hits, of them {hits[:9]}"


@pytest.fixture
async def stage(database: Database, worker_login: Login, tmp_path: Path) -> Stage:
    """Canaries, and a swarm that polls quickly."""
    dice = random.Random(1)
    names = (*FILES, *VARIABLES, "DATABASE_URL")
    canaries = {name: f"FAKE/canary+{name}={dice.getrandbits(80):x}" for name in names}
    canaries["DATABASE_URL"] = f"FAKE-canary-{dice.getrandbits(80):x}"
    canaries["WORKER_DATABASE_URL"] = worker_login.password
    operator = await database.connect()
    await operator.execute(
        "UPDATE juggernaut.thresholds SET value = 0.5 WHERE name IN ('poll_seconds')"
    )
    return Stage(tmp_path, database, worker_login, operator, canaries)


async def until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until something is so."""
    end = time.monotonic() + RUN_SECONDS
    while not await true():
        assert time.monotonic() < end, f"{what} never came"
        await asyncio.sleep(POLL_SECONDS)


@pytest.mark.slow
@pytest.mark.timeout(100)
async def test_a_whole_run_shows_no_canary(stage: Stage) -> None:
    """And it is one that ends in a merge: the masks stand where the canaries would."""
    async with stage.running(0) as (server, _):

        async def merged() -> bool:
            """Say whether the code task has ended well."""
            row = await stage.operator.fetchrow(
                "SELECT status, error_message FROM governance_tasks WHERE task_type = 'code'"
            )
            assert row is None or row["status"] not in ("failed", "blocked"), row
            return row is not None and row["status"] == "completed"

        await until(merged, "the merge")
    assert len(server.requests) > 5
    steps = await stage.operator.fetchval(STEPS_SO_FAR) + len(server.requests)
    assert STEPS / 2 < steps < STEPS * 2, f"{steps} steps: adapt STEPS"
    levels = await stage.operator.fetch("SELECT DISTINCT sandbox FROM worker_board")
    assert [row["sandbox"] in ("bubblewrap", "landlock", "bare") for row in levels] == [True]
    notes = git(stage.folder / "run-0" / "origin.git", "show", "HEAD:notes.txt")
    assert notes == "\n".join(["[redacted]"] * len(stage.canaries))


@pytest.mark.slow
@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS * 2)
async def test_a_killed_run_shows_no_canary(stage: Stage) -> None:
    """Killed with -9 after so many log lines and model calls; 2 seeds, in full 20."""
    for seed in range(KILLS):
        point = random.Random(seed).randint(1, STEPS)
        before: int = await stage.operator.fetchval(STEPS_SO_FAR)
        async with stage.running(seed) as (server, kill):

            async def reached(server: Echo = server, most: int = before + point) -> bool:
                """Say whether it has come so far, or has nothing more to do."""
                steps = await stage.operator.fetchval(STEPS_SO_FAR)
                done = await stage.operator.fetchval(OPEN) == 0
                return steps + len(server.requests) >= most or (done and bool(server.requests))

            await until(reached, "the point")
            if not server.requests:
                await asyncio.to_thread(server.wait_for_request)
            kill()
        await stage.operator.execute(
            "SELECT cancel_task(id) FROM governance_tasks"
            " WHERE status NOT IN ('completed', 'failed', 'rejected', 'cancelled')"
        )
