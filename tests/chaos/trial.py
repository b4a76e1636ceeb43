"""One trial of the kill matrix: a process is hit at a point, and another one finishes its task."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import asyncpg

from tests.chaos.forked import Forked, fork
from tests.chaos.points import Point
from tests.fakes.github.double import GitHubDouble
from tests.fakes.github.faults import Fault
from tests.fixtures_postgres import Database, Login

OWNER = "octo"
HEIRS = 2
POLL_SECONDS = 0.05
REACH_SECONDS = 60.0
ANSWER_SECONDS = 20.0
END_SECONDS = 120.0
ENDS = ("completed", "failed", "rejected", "cancelled", "blocked")
# A check that names the file would make it one that judges the task, and a person would be asked.
CRITERIA = '[{"text": "the word is there", "check": ["grep", "-rqx", "ready", "."]}]'


@dataclass(slots=True)
class Stage:
    """Everything that the trials of a run share; `logins` are lent to one victim at a time."""

    folder: Path
    database: Database
    operator: asyncpg.Pool[asyncpg.Record]
    double: GitHubDouble
    settings: dict[str, str]
    logins: asyncio.Queue[Login]

    def fork(self, name: str, login: Login, **settings: str) -> Forked:
        """Start a worker process."""
        url = self.database.url_for(login.name, login.password)
        return fork(self.folder, name, {**self.settings, "WORKER_DATABASE_URL": url, **settings})

    async def cut(self, login: Login) -> None:
        """End every connection of a login."""
        ended = await self.operator.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", login.name
        )
        assert ended, "there was nothing to cut"

    def forget_faults(self, name: str) -> None:
        """Drop the faults of a trial that is over."""
        faults = self.double.faults
        with faults.lock:
            faults.rules[:] = [rule for rule in faults.rules if name not in rule.path]


@dataclass(slots=True)
class Trial:
    """One process, one task, one repository, one blow."""

    stage: Stage
    point: Point
    way: str
    number: int
    task: UUID = field(init=False)
    victim: Forked = field(init=False)
    login: Login = field(init=False)
    struck: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        """Give the name of the trial, of its process and of its repository."""
        return f"{self.point.name}-{self.way}-{self.number}".replace(".", "-")

    async def run(self) -> None:
        """Hit the process, and wait until the task has ended and the process is gone."""
        self.login = await self.stage.logins.get()
        self.stage.double.create(f"{OWNER}/{self.name}", {"README": "A repository.\n"})
        self.task = await self.stage.operator.fetchval(
            "INSERT INTO governance_tasks (title, task_type, repo, assigned_worker,"
            " acceptance_criteria, max_attempts) VALUES ($1, 'code', $2, $1, $3, 9) RETURNING id",
            self.name,
            f"{OWNER}/{self.name}",
            CRITERIA,
        )
        try:
            if self.point.request[0]:
                self._catch_request(asyncio.get_running_loop())
            fault = {"JUGGERNAUT_FAULT": self.point.fault} if self.point.fault else {}
            self.victim = self.stage.fork(self.name, self.login, **fault)
            await self._strike()
            await self._finish()
        finally:
            await asyncio.to_thread(self.victim.end)
            self.stage.forget_faults(self.name)
            self.stage.logins.put_nowait(self.login)

    # The blow --------------------------------------------------------------------------------

    async def _strike(self) -> None:
        """Wait for the moment, and strike."""
        if self.point.request[0]:
            await self._until(self._was_struck, REACH_SECONDS, "the request never came")
            return
        await self._until(self._stands, REACH_SECONDS, "the point was never reached")
        if self.way == "kill":
            self.victim.signal(signal.SIGKILL)
        elif self.way == "cut":
            await self.stage.cut(self.login)
        elif self.way == "lose":
            self._lose_reply("*", f"*/{OWNER}/{self.name}*")
        if self.way in ("cut", "lose"):
            self.victim.signal(signal.SIGCONT)

    def _catch_request(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the forge strike in the moment in which it has the request."""
        method, path = self.point.request
        place = path.format(repo=self.name)
        if self.way == "lose":
            self._lose_reply(method, place)
            return

        def strike() -> None:
            """Hit the process; its request is carried out all the same."""
            if self.way == "cut":
                cut = asyncio.run_coroutine_threadsafe(self.stage.cut(self.login), loop)
                cut.result(ANSWER_SECONDS)
            else:
                os.kill(self.victim.pid, signal.SIGKILL if self.way == "kill" else signal.SIGSTOP)
            self.struck.set()

        self.stage.double.faults.before(method, place, strike)

    def _lose_reply(self, method: str, path: str) -> None:
        """Let the forge carry out the next such request, and cut the link before it answers."""
        fault = Fault(before=self.struck.set, drop=True)
        self.stage.double.faults.add(method, path, fault)

    async def _was_struck(self) -> bool:
        """Say whether the forge has struck."""
        return self.struck.is_set()

    async def _stands(self) -> bool:
        """Say whether the process stands still at its point."""
        return self.victim.stands_still()

    # The end ---------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Let whoever can take the task, and wait for its end.

        A stopped process goes on while another one works, or after that one has ended.
        """
        if self.way == "stop":
            await self._until(self._taken_back, END_SECONDS, "the lease never ran out")
            if self.number % 2 == 0:
                await self._until(self._in_other_hands, END_SECONDS, "nobody took it over")
                self.victim.signal(signal.SIGCONT)
        await self._until(self._ended, END_SECONDS, "the task did not end")
        assert self.struck.is_set() or self.way != "lose", "no reply was lost"

    async def _row(self) -> asyncpg.Record:
        """Read the task."""
        row = await self.stage.operator.fetchrow(
            "SELECT status, assigned_worker, fence FROM governance_tasks WHERE id = $1", self.task
        )
        assert row is not None
        return row

    async def _taken_back(self) -> bool:
        """Say whether the sweep has taken the task back; an end counts too."""
        row = await self._row()
        return bool(row["status"] != "in_progress")

    async def _in_other_hands(self) -> bool:
        """Say whether another process works on the task, or has ended it."""
        row = await self._row()
        await self._hand_on()
        taken = row["status"] == "in_progress" and row["assigned_worker"] != self.name
        return bool(taken or row["status"] in ENDS)

    async def _ended(self) -> bool:
        """Say whether the task has ended."""
        await self._hand_on()
        return (await self._row())["status"] in ENDS

    async def _hand_on(self) -> None:
        """Let an heir have the task, and let no pause after a failure cost a minute.

        Not any process: another trial's victim would take a second task into its fate.
        """
        await self.stage.operator.execute(
            "UPDATE governance_tasks SET assigned_worker = $2, run_after = NULL"
            " WHERE id = $1 AND status = 'pending'"
            "  AND (assigned_worker <> $2 OR run_after IS NOT NULL)",
            self.task,
            f"heir-{self.number % HEIRS}",
        )

    async def _until(
        self, true: Callable[[], Awaitable[bool]], seconds: float, otherwise: str
    ) -> None:
        """Wait until something is true."""
        end = time.monotonic() + seconds
        while not await true():
            if time.monotonic() > end:
                said = self.victim.log.read_text(encoding="utf-8")[-2_000:]
                raise AssertionError(f"{self.name}: {otherwise}: {await self._row()}: {said}")
            await asyncio.sleep(POLL_SECONDS)
