"""`up`: a swarm on this machine for a person's own repository, that goes on where it stopped."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from juggernaut.adapters.forges.adopt import adopt, is_checkout
from juggernaut.adapters.forges.git import Git
from juggernaut.adapters.forges.github.names import looks_remote
from juggernaut.adapters.forges.repository import locate, read_heads
from juggernaut.adapters.postgres.board import Board, Row, open_board
from juggernaut.app.demo.board_view import LineView, LiveView
from juggernaut.app.github import github_name
from juggernaut.app.local_swarm import (
    DATABASE_FOLDER,
    WorkerProcess,
    inherited,
    running_database,
    running_worker,
    stop_recorded,
)
from juggernaut.app.logins import create_login
from juggernaut.app.policy import migrate_and_apply
from juggernaut.app.setting_sources import CONFIG_VARIABLE, Loaded
from juggernaut.app.watch import Snapshot, Watch
from juggernaut.app.work_folder import ANOTHER_DATA_DIR, ANOTHER_DIR, make_folder, own_swarm
from juggernaut.domain.errors import ConfigError, DatabaseUnreachable, InvalidInput, LawRefused

FOLDER: Final = "up"
DATABASE: Final = "juggernaut"
LOGIN_FILE: Final = "worker-login.json"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for; `repo` is a path, or owner/name at GitHub."""

    repo: str
    goal: str | None
    test: str | None
    script: Path | None
    folder: Path | None
    keep: bool
    config: str | None
    record: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A wish that was checked: every path is absolute, and the folder is there."""

    repo: str
    goal: str | None
    test: tuple[str, ...] | None
    script: Path | None
    folder: Path
    keep: bool
    config: str | None
    record: Path | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: the last look at the goal, and where the merged work is."""

    snapshot: Snapshot
    folder: Path
    repository: str
    merged: list[Row]
    dsn_option: str
    worker_log: str
    worker_exit: int | None


def prepared(wish: Wish, loaded: Loaded) -> Prepared:
    """Check what was asked for and make the folder; ConfigError in one line."""
    if wish.script is None and loaded.settings.model_choice() is None:
        raise ConfigError(
            "no model: set ANTHROPIC_API_KEY, OPENAI_API_KEY or OPENROUTER_API_KEY,"
            " or give --script FILE"
        )
    script = wish.script or loaded.settings.script
    if script is not None and not script.expanduser().is_file():
        raise ConfigError(f"the script {script} is not a file: give one with --script")
    try:
        test = None if wish.test is None else tuple(shlex.split(wish.test))
    except ValueError as error:
        raise ConfigError(f"--test {wish.test!r} cannot be read: {error}") from None
    folder = (wish.folder or loaded.settings.data_dir / FOLDER).expanduser().absolute()
    make_folder(folder, ANOTHER_DIR if wish.folder else ANOTHER_DATA_DIR)
    return Prepared(
        repo=_place(wish.repo),
        goal=wish.goal,
        test=test,
        script=script.expanduser().absolute() if script else None,
        folder=folder,
        keep=wish.keep,
        config=str(Path(wish.config).absolute()) if wish.config else None,
        record=loaded.settings.record_folder(),
    )


async def serve(wish: Prepared, loaded: Loaded, view: LineView | LiveView) -> Ended:
    """Run everything for the wish; ends with the goal, or without one when it is cancelled.

    Raises ConfigError when another one works in the same folder: they would stop each other.
    """
    with own_swarm(wish.folder):
        return await _serve_alone(wish, loaded, view)


async def _serve_alone(wish: Prepared, loaded: Loaded, view: LineView | LiveView) -> Ended:
    """Run everything in a folder that is this process's own."""
    repository = await own_copy(wish.repo, wish.folder, loaded)
    async with _operator_url(wish, loaded, view) as url:
        report = await migrate_and_apply(url, loaded.resources)
        view.say(f"schema at {report.version}; repository {repository}")
        settings = await _settings(wish, loaded, url, repository)
        if await stop_recorded(wish.folder):
            view.say("the workers that an earlier run left were stopped; new ones take over")
        async with (
            open_board(url) as board,
            running_worker(wish.folder, settings, keep=wish.keep) as worker,
        ):
            return await _follow(wish, dsn_option(url, loaded), board, worker, repository, view)


def dsn_option(url: str, loaded: Loaded) -> str:
    """Give what a command needs besides: nothing for who set DATABASE_URL, which is a secret."""
    return "" if loaded.settings.database_url is not None else f' --dsn "{url}"'


def _place(repo: str) -> str:
    """Give the absolute path of a folder; what is none stays a name at GitHub."""
    path = Path(repo).expanduser()
    return repo if looks_remote(repo) and not path.exists() else str(path.absolute())


async def own_copy(repo: str, folder: Path, loaded: Loaded) -> str:
    """Give the repository that the swarm merges into.

    It is the given bare one, a bare copy of a checkout, or the one at GitHub. Raises ConfigError
    in one line when there is nothing to work on.
    """
    git = Git()
    try:
        if not repo.startswith("/"):
            return github_name(repo, loaded.settings)
        path = locate(repo, folder / "trees")
        if is_checkout(path):
            return str(await adopt(git, folder / "forge", path))
        await read_heads(git, path)
    except InvalidInput as error:
        raise ConfigError(str(error)) from None
    return str(path)


@asynccontextmanager
async def _operator_url(
    wish: Prepared, loaded: Loaded, view: LineView | LiveView
) -> AsyncIterator[str]:
    """Give the database: DATABASE_URL when it is set, else an own PostgreSQL in the folder."""
    if loaded.settings.database_url is not None:
        view.say("database: DATABASE_URL")
        yield loaded.settings.migration_dsn()
        return
    data = wish.folder / DATABASE_FOLDER
    async with running_database(data, DATABASE, durable=True, keep=wish.keep) as server:
        view.say(f"database: own PostgreSQL on port {server.port}, data in {server.data_dir}")
        yield server.url(DATABASE)


async def _settings(wish: Prepared, loaded: Loaded, url: str, repository: str) -> dict[str, str]:
    """Give the environment of the worker process; the rest is inherited."""
    own_database = loaded.settings.database_url is None
    settings = inherited(without=["DATABASE_UNPOOLED_URL"] if own_database else []) | {
        "WORKER_TYPE": "all",
        "WORKER_DATABASE_URL": await _worker_url(wish, loaded, url),
        "JUGGERNAUT_DATA_DIR": str(wish.folder),
        "JUGGERNAUT_REPO": repository,
        "LOG_FORMAT": "console",
    }
    if wish.config is not None:
        settings[CONFIG_VARIABLE] = wish.config
    if wish.script is not None:
        settings["JUGGERNAUT_SCRIPT"] = str(wish.script)
    if wish.record is not None:
        settings["JUGGERNAUT_RECORD"] = str(wish.record)
    if wish.test is not None:
        settings["JUGGERNAUT_TEST_COMMAND"] = shlex.join(wish.test)
    return settings


async def _worker_url(wish: Prepared, loaded: Loaded, url: str) -> str:
    """Give a login for the workers: the configured one, the one of last time, or a new one."""
    configured = loaded.settings.worker_database_url
    if configured is not None and loaded.settings.database_url is not None:
        return configured.get_secret_value()
    note = wish.folder / LOGIN_FILE
    known = _read_login(note)
    if known is not None and await _works(known, url):
        return known
    try:
        made = await create_login(url, "worker", f"up_worker_{os.urandom(3).hex()}")
    except LawRefused as error:
        raise ConfigError(
            f"no login for the workers can be made ({error}): set WORKER_DATABASE_URL"
        ) from None
    descriptor = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"url": made}, file)
    return made


def _read_login(note: Path) -> str | None:
    """Give the login that an earlier run made."""
    try:
        return str(json.loads(note.read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


async def _works(known: str, operator_url: str) -> bool:
    """Say whether a login of an earlier run is one of this very database."""
    if known.rpartition("@")[2] != operator_url.rpartition("@")[2]:
        return False
    try:
        async with open_board(known):
            return True
    except (ConfigError, DatabaseUnreachable):
        return False


async def _follow(
    wish: Prepared,
    option: str,
    board: Board,
    worker: WorkerProcess,
    repository: str,
    view: LineView | LiveView,
) -> Ended:
    """Add the goal, or find it from last time, and follow it."""
    goal = await _goal(board, wish.goal, repository) if wish.goal else None

    async def ask_person(waiting: Row) -> None:
        """Say how to decide; nobody decides in a person's place."""
        view.say(
            f"waits for you: {waiting['title']}\n{waiting['reason']}\n{waiting['approve_sql']}\n"
            f"juggernaut approve {waiting['task_id']}{option}"
        )

    with view.running():
        snapshot = await Watch(board, goal, view).follow(
            seconds=None, alive=lambda: worker.ended is None, on_approval=ask_person
        )
    merged = await board.rows("list_proofs", goal) if goal else []
    return Ended(
        snapshot,
        wish.folder,
        repository,
        [row for row in merged if row["merged_sha"]],
        option,
        worker.tail(),
        worker.ended,
    )


async def _goal(board: Board, title: str, repository: str) -> UUID:
    """Give the open goal of this title, or add it."""
    found = await board.row("find_open_goal", title, repository)
    row = found or await board.only("add_goal", title, "", repository, None, True)
    return UUID(str(row["id"]))
