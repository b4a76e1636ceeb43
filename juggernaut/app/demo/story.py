"""The demo, scene by scene: database, logins, repository, workers, goal, approval, end."""

from __future__ import annotations

import asyncio
import secrets
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final
from uuid import UUID

from juggernaut.adapters.postgres.board import Board, Row, open_board
from juggernaut.app.demo.board_view import LineView, LiveView
from juggernaut.app.demo.outcome import Outcome, Repositories, gather
from juggernaut.app.demo.sample import TEST_COMMAND, script_text, write_sample
from juggernaut.app.git_facts import must
from juggernaut.app.local_postgres import LocalServer
from juggernaut.app.local_swarm import (
    DATABASE_FOLDER,
    WorkerProcess,
    inherited,
    running_database,
    running_worker,
)
from juggernaut.app.logins import create_login
from juggernaut.app.policy import migrate_and_apply
from juggernaut.app.resources import find_resources
from juggernaut.app.setting_sources import CONFIG_VARIABLE
from juggernaut.app.settings import Settings
from juggernaut.app.watch import LOOK_SECONDS, Watch
from juggernaut.app.work_folder import ANOTHER_DIR, make_folder, own_swarm

GOAL: Final = "shorten() never gives more characters than its limit"
GOAL_TEXT: Final = (
    "Two tests of the package slugs are red. Find the bug, fix it, and prove it with the tests."
    " Then build the release archive, report on the work, and say what should come next."
)
GOAL_BUDGET_USD: Final = Decimal("1.00")
ALERT_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 1.0  # for a decision, where a real swarm has approval_seconds


@dataclass(frozen=True, slots=True)
class Stage:
    """What was built for one run of the demo."""

    folder: Path
    operator_url: str
    approver_url: str
    worker_url: str
    repository: Path
    base: str
    script: Path


@dataclass(frozen=True, slots=True)
class Played:
    """How the demo went."""

    stage: Stage
    outcome: Outcome
    seconds: float
    worker_log: str
    worker_exit: int | None


async def play(
    folder: Path | None, view: LineView | LiveView, *, seconds: float, keep: bool
) -> Played:
    """Tell the whole story; nothing is left running or lying about, unless `keep` or `folder`."""
    started = time.monotonic()
    run = secrets.token_hex(3)
    with _place(folder, keep) as place:
        data = place / DATABASE_FOLDER
        database = running_database(data, f"demo_{run}", durable=keep, keep=keep)
        async with database as server:
            stage = await _build(place / f"run-{run}", run, server, view)
            async with running_worker(stage.folder, _environment(stage), keep=keep) as worker:
                outcome = await _tell(stage, worker, view, seconds)
        return Played(stage, outcome, time.monotonic() - started, worker.tail(), worker.ended)


@contextmanager
def _place(folder: Path | None, keep: bool) -> Iterator[Path]:
    """Give a folder for everything; a temporary one is removed afterwards."""
    if folder is not None:
        place = make_folder(folder, ANOTHER_DIR)
        with own_swarm(place):
            yield place
        return
    place = Path(tempfile.mkdtemp(prefix="juggernaut-demo-"))
    # PostgreSQL may run as another user than root, and has to get to its data.
    place.chmod(0o711)
    try:
        yield place
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)


async def _build(folder: Path, run: str, server: LocalServer, view: LineView | LiveView) -> Stage:
    """Migrate a fresh database, make two logins and a repository."""
    operator_url = server.url(f"demo_{run}")
    view.say(f"PostgreSQL runs on port {server.port}; database demo_{run}")
    report = await migrate_and_apply(operator_url, find_resources())
    worker_url = await create_login(operator_url, "worker", f"demo_worker_{run}")
    approver_url = await create_login(operator_url, "approver", f"demo_approver_{run}")
    async with open_board(operator_url) as board:
        await board.rows("hurry_duties")
    view.say(f"schema at {report.version}; logins demo_worker_{run} and demo_approver_{run}")
    checkout, bare, script = folder / "slugs", folder / "slugs.git", folder / "script.yaml"
    base = await write_sample(checkout)
    await must("clone", "--quiet", "--bare", "--no-local", str(checkout), str(bare), cwd=folder)
    script.write_text(script_text(), encoding="utf-8")
    view.say(f"repository {bare}: {base[:12]}, two tests are red")
    return Stage(folder, operator_url, approver_url, worker_url, bare, base, script)


def _environment(stage: Stage) -> dict[str, str]:
    """Give the environment of the workers: all five roles, and no setting of the caller's."""
    settings = [str(field.alias) for field in Settings.model_fields.values()]
    return inherited(without=[CONFIG_VARIABLE, *settings]) | {
        "WORKER_DATABASE_URL": stage.worker_url,
        "WORKER_TYPE": "all",
        "JUGGERNAUT_SCRIPT": str(stage.script),
        "JUGGERNAUT_DATA_DIR": str(stage.folder / "data"),
        "JUGGERNAUT_REPO": str(stage.repository),
        "JUGGERNAUT_TEST_COMMAND": shlex.join(TEST_COMMAND),
        # The only command of high risk here is the demo's own.
        "JUGGERNAUT_ALLOW_BARE": "true",
        "LOG_FORMAT": "console",
    }


async def _tell(
    stage: Stage, workers: WorkerProcess, view: LineView | LiveView, seconds: float
) -> Outcome:
    """Add the goal, follow it to its end, approve what waits, and read what came of it."""
    async with open_board(stage.operator_url) as board:
        wish = (GOAL, GOAL_TEXT, str(stage.repository), GOAL_BUDGET_USD, True)
        goal = UUID(str((await board.only("add_goal", *wish))["id"]))
        watch = Watch(board, goal, view)

        async def approve(waiting: Row) -> None:
            """Decide as a person would: paste the SQL into a session of one's own."""
            sql = str(waiting["approve_sql"])
            view.say(f"waits for approval: {waiting['title']}\n{waiting['reason']}")
            view.say(await _watched(board, waiting))
            view.say(f"an approver logs in and runs exactly this:\n{sql}")
            async with open_board(stage.approver_url) as approver:
                view.say(await approver.statement(sql))
            decided.append(waiting)

        decided: list[Row] = []
        with view.running():
            await watch.follow(
                seconds=seconds, alive=lambda: workers.ended is None, on_approval=approve
            )
        await _settled(board, decided)
        repositories = Repositories(stage.repository, stage.base, stage.folder / "clones")
        repositories.clones.mkdir(exist_ok=True)
        return await gather(board, goal, repositories)


async def _settled(board: Board, decided: Sequence[Row]) -> None:
    """Wait until the watchdog has seen that the decisions were made, as long as that may take."""
    deadline = time.monotonic() + ALERT_SECONDS
    for waited in decided:
        task = str(waited["task_id"])
        while time.monotonic() < deadline:
            if not await board.rows("list_alerts_of_task", task):
                break
            await asyncio.sleep(LOOK_SECONDS)


async def _watched(board: Board, waiting: Row) -> str:
    """Wait until the watchdog has noticed that nobody decides; gives its alert."""
    deadline = time.monotonic() + ALERT_SECONDS
    while time.monotonic() < deadline:
        await board.rows("hurry_alert", waiting["task_id"], PATIENCE_SECONDS)
        for alert in await board.rows("list_alerts_of_task", str(waiting["task_id"])):
            return f"the watchdog raised an alert: {alert['title']}"
        await asyncio.sleep(LOOK_SECONDS)
    return f"the watchdog raised no alert in {ALERT_SECONDS:.0f} s"
