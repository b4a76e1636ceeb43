"""Start or attach to the local server, and stop it.

start -> lock -> does our server answer? -> attach
                 is it starting or stopping? -> wait
                 else: data folder, programs, port, postmaster, wait until it answers
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from juggernaut.app.local_postgres import postmaster
from juggernaut.app.local_postgres.binaries import Binaries, choose_binaries
from juggernaut.app.local_postgres.identity import Identity, choose_identity
from juggernaut.app.local_postgres.probe import HOST, Answer, Probe, ensure_database, probe
from juggernaut.app.local_postgres.state import (
    Places,
    State,
    locked,
    make_parent,
    places,
    private_folder,
    read_state,
    write_state,
)
from juggernaut.domain.errors import ConfigError

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.02
SUPERUSER = "juggernaut"
PORT_TAKEN = "could not bind"
ORPHANS_LEFT = "pre-existing shared memory block"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A running server of ours; `data_dir` is where its data really is."""

    data_dir: Path
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    started_here: bool

    def url(self, database: str = "juggernaut") -> str:
        """The superuser's URL of one database (it holds the password)."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(database, safe='')}"


async def start(
    data_dir: Path, *, durable: bool = True, database: str = "juggernaut"
) -> LocalServer:
    """Attach to the server of `data_dir`, or start it; `database` exists afterwards.

    Any number of processes may call this at once; one starts, the others attach. The server goes
    on when its starter ends in any way: see `stop`. `durable=False` gives up safety after a power
    cut for speed, for tests. Raises ConfigError in one line when it cannot be done.
    """
    files = places(data_dir)
    try:
        make_parent(files.requested, 0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise ConfigError(f"cannot create {error.filename}: {error.strerror}") from None
    async with locked(files.lock):
        state = read_state(files.state)
        started_here = state is None or not await _is_up(state)
        if state is None or started_here:
            state = await _launch(files, state, durable=durable)
        elif state.durable != durable:
            log.warning("the server of %s already runs with durable=%s", data_dir, state.durable)
        await ensure_database(state, database)
    return LocalServer(state.data_dir, HOST, state.port, state.user, state.password, started_here)


async def stop(data_dir: Path) -> bool:
    """Stop the server of `data_dir` (sessions are cut, data is flushed); False if none ran."""
    files = places(data_dir)
    if not files.state.exists():
        return False
    async with locked(files.lock):
        state = read_state(files.state)
        if state is None or not await _is_up(state):
            return False
        pid = postmaster.recorded_pid(state.data_dir)
        if pid is None or not postmaster.is_postmaster(pid, state.data_dir):
            raise ConfigError(f"the server of {state.data_dir} answers but has no PID file")
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while postmaster.is_postmaster(pid, state.data_dir):
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"the server of {state.data_dir} (PID {pid}) did not stop within"
                    f" {STOP_TIMEOUT_SECONDS:.0f} s: see {files.log}"
                )
            await asyncio.sleep(POLL_SECONDS)
    return True


async def _is_up(state: State) -> bool:
    """Whether our server answers; waits for one that is starting, recovering or stopping."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        found = await probe(state)
        if found.answer is Answer.READY:
            return True
        pid = postmaster.recorded_pid(state.data_dir)
        if pid is None or not postmaster.is_postmaster(pid, state.data_dir):
            return False
        if time.monotonic() > deadline:
            raise ConfigError(
                f"the server of {state.data_dir} (PID {pid}, port {state.port}) lives but gave no"
                f" login for {START_TIMEOUT_SECONDS:.0f} s: {found.reason}"
            )
        await asyncio.sleep(POLL_SECONDS)


async def _launch(files: Places, known: State | None, *, durable: bool) -> State:
    """Bring a server up where none answers; the state file is written before it starts."""
    identity = choose_identity(known.data_dir if known else files.requested)
    data_dir = known.data_dir if known else _placement(files.requested, identity)
    major = postmaster.data_major(data_dir)
    binaries = await asyncio.to_thread(choose_binaries, identity, data_dir, major)
    if major is not None and known is None:
        raise ConfigError(
            f"the password of the data folder {data_dir} is lost ({files.state} is missing):"
            " restore that file, or move the data folder away to start empty"
        )
    password = known.password if known else postmaster.new_password()
    state = State(data_dir, known.port if known else 0, SUPERUSER, password, durable)
    if major is None:
        write_state(files.state, state)
        postmaster.clear_leftovers(data_dir)
        await asyncio.to_thread(postmaster.make_data_folder, binaries, identity, state)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        state = replace(state, port=postmaster.free_port(state.port or None))
        write_state(files.state, state)
        if await _started(binaries, identity, state, files.log, deadline):
            return state


async def _started(
    binaries: Binaries, identity: Identity, state: State, log_path: Path, deadline: float
) -> bool:
    """Start a postmaster and wait for its first answer; False asks for another try."""
    postmaster.disarm_stale_pid(state.data_dir)
    offset = postmaster.log_size(log_path)
    pid = await asyncio.to_thread(postmaster.spawn, binaries, identity, state, log_path)
    while True:
        # A dead postmaster's port may be a stranger's that never answers a login.
        alive = postmaster.is_postmaster(pid, state.data_dir)
        found = await probe(state) if alive else Probe(Answer.DOWN, "it ended")
        if found.answer is Answer.READY:
            return True
        tail = "" if alive else postmaster.log_tail(log_path, offset)
        late = time.monotonic() > deadline
        if not alive and not late and (PORT_TAKEN in tail or ORPHANS_LEFT in tail):
            await asyncio.sleep(POLL_SECONDS)
            return False
        if late or not alive:
            tail = tail or postmaster.log_tail(log_path, offset)
            what = "ended" if not alive else f"gave no login in {START_TIMEOUT_SECONDS:.0f} s"
            raise ConfigError(
                f"the PostgreSQL server of {state.data_dir} {what}: {tail or found.reason}"
                f" (log: {log_path})"
            )
        await asyncio.sleep(POLL_SECONDS)


def _placement(requested: Path, identity: Identity) -> Path:
    """Where the data goes: as asked, or elsewhere when the dropped user cannot get there."""
    if identity.can_enter(requested.parent):
        return requested
    if requested.exists() and any(requested.iterdir()):
        raise ConfigError(
            f"{requested} lies under a private folder, where the unprivileged user that runs"
            " PostgreSQL (root may not) cannot get: move it, or run as its owner"
        )
    elsewhere = private_folder(requested) / "pgdata"
    log.warning(
        "%s lies under a private folder that user %s cannot enter: the data goes to %s",
        requested,
        identity.uid,
        elsewhere,
    )
    return elsewhere
