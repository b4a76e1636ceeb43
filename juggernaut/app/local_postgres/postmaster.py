"""The server's processes: create a data folder, start a postmaster, tell a live PID from a lie."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from juggernaut.app.local_postgres.binaries import Binaries
from juggernaut.app.local_postgres.identity import Identity, clean_environment
from juggernaut.app.local_postgres.probe import HOST
from juggernaut.app.local_postgres.state import State, open_log
from juggernaut.domain.errors import ConfigError

INITDB_TIMEOUT_SECONDS = 120
# Above every kernel's pid_max, so that no process can ever have it.
IMPOSSIBLE_PID = 2_147_483_647
EXEC_TRIES = 20
EXEC_PAUSE_SECONDS = 0.005
LOG_TAIL_LINES = 6
LOG_TAIL_BYTES = 8192
SETTINGS = (
    "max_connections=200",
    "jit=off",
    # A superuser called juggernaut would otherwise find the schema juggernaut before public.
    "search_path=public",
    f"listen_addresses={HOST}",
    # No unix socket: its path length is limited, and a stale one is one more thing to repair.
    "unix_socket_directories=",
    "logging_collector=off",
    "log_destination=stderr",
    "log_line_prefix=%m [%p] ",
    "lc_messages=C",
)
NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def make_data_folder(binaries: Binaries, identity: Identity, state: State) -> None:
    """Run initdb beside the final place and rename, so that no half-made folder is ever used."""
    staging = Path(
        tempfile.mkdtemp(prefix=f"{state.data_dir.name}.new-", dir=state.data_dir.parent)
    )
    descriptor, pwfile = tempfile.mkstemp(prefix=f"{state.data_dir.name}.pw-", dir=staging.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(state.password + "\n")
        identity.own(Path(pwfile))
        identity.own(staging)
        command = [
            binaries.program("initdb"),
            f"--pgdata={staging}",
            f"--username={state.user}",
            f"--pwfile={pwfile}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            f"--locale={'C.UTF-8' if sys.platform == 'linux' else 'C'}",
            "--data-checksums",
            *(() if state.durable else ("--no-sync",)),
        ]
        done = identity.run(command, timeout_seconds=INITDB_TIMEOUT_SECONDS)
        if done.returncode != 0:
            said = " | ".join((done.stderr or done.stdout).strip().splitlines()[-LOG_TAIL_LINES:])
            raise ConfigError(f"initdb could not create the data folder {state.data_dir}: {said}")
        _move_into_place(staging, state.data_dir)
    finally:
        Path(pwfile).unlink(missing_ok=True)
        shutil.rmtree(staging, ignore_errors=True)


def clear_leftovers(data_dir: Path) -> None:
    """Remove what a killed initdb left beside the data folder (call it under the lock)."""
    for path in data_dir.parent.glob(f"{data_dir.name}.new-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in data_dir.parent.glob(f"{data_dir.name}.pw-*"):
        path.unlink(missing_ok=True)


def _move_into_place(staging: Path, data_dir: Path) -> None:
    """Rename the finished folder over an absent or empty data folder."""
    try:
        staging.rename(data_dir)
    except OSError as error:
        raise ConfigError(
            f"cannot put a new data folder at {data_dir} ({error.strerror}): it must be absent or"
            " an empty folder, and not a mount point (name a folder inside the mount)"
        ) from None


def data_major(data_dir: Path) -> int | None:
    """The major version in PG_VERSION; None when there is no data folder yet."""
    try:
        text = (data_dir / "PG_VERSION").read_text(encoding="ascii").strip()
        return int(text.split(".")[0])
    except FileNotFoundError:
        return None
    except PermissionError:
        raise ConfigError(
            f"the data folder {data_dir} belongs to another user: run as that user, or choose"
            " another data folder"
        ) from None
    except ValueError:
        raise ConfigError(f"{data_dir / 'PG_VERSION'} does not hold a version") from None


def new_password() -> str:
    """A password that needs no escaping in a URL."""
    return secrets.token_urlsafe(24)


def free_port(preferred: int | None) -> int:
    """The preferred port when it is free, else one that the kernel picks."""
    for port in (preferred, 0) if preferred else (0,):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind((HOST, port or 0))
            except OSError:
                continue
            return int(candidate.getsockname()[1])
    raise ConfigError(f"no free TCP port on {HOST}")


def spawn(binaries: Binaries, identity: Identity, state: State, log_path: Path) -> int:
    """Start a postmaster that outlives this process and is nobody's zombie; returns its PID."""
    settings = SETTINGS if state.durable else SETTINGS + NOT_DURABLE
    options = [part for setting in settings for part in ("-c", setting)]
    command = [binaries.program("postgres"), "-D", str(state.data_dir), "-p", str(state.port)]
    log = open_log(log_path)
    try:
        # The shell ends at once, so the postmaster belongs to init and no one has to reap it.
        started = subprocess.run(
            ["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh", *command, *options],
            cwd="/",
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            check=True,
            start_new_session=True,
            **identity.process(),
        )
    finally:
        os.close(log)
    return int(started.stdout)


def recorded_pid(data_dir: Path) -> int | None:
    """The PID in postmaster.pid, which may be long dead or somebody else's by now."""
    try:
        return int((data_dir / "postmaster.pid").read_text(encoding="utf-8").split("\n")[0])
    except (FileNotFoundError, ValueError):
        return None


def is_postmaster(pid: int, data_dir: Path) -> bool:
    """Whether a live process (no zombie) with this PID is a postmaster of this data folder."""
    arguments = _arguments(pid)
    program = any(Path(argument).name in ("postgres", "postmaster") for argument in arguments)
    return program and str(data_dir) in " ".join(arguments)


def _arguments(pid: int) -> list[str]:
    """The command line of a live process; empty for a dead one or a zombie."""
    if Path("/proc/self/cmdline").exists():
        try:
            for _ in range(EXEC_TRIES):
                # A process that is just starting its program has none for a moment.
                told = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
                if told or _is_zombie(pid):
                    break
                time.sleep(EXEC_PAUSE_SECONDS)
            return told.split("\0")
        except OSError:
            return []
    listed = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.split()


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and waits for its parent; raises OSError when it is gone."""
    return (
        Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"
    )


def disarm_stale_pid(data_dir: Path) -> None:
    """Let PostgreSQL start although the dead postmaster's PID is in use again.

    The file is kept, with a PID that cannot exist: PostgreSQL then still checks the shared memory
    that the file names, so it waits for backends that outlived their postmaster.
    """
    path = data_dir / "postmaster.pid"
    pid = recorded_pid(data_dir)
    if pid is None or is_postmaster(pid, data_dir):
        return
    rest = path.read_text(encoding="utf-8").split("\n")[1:]
    with path.open("r+", encoding="utf-8") as file:
        file.write("\n".join([str(IMPOSSIBLE_PID), *rest]))
        file.truncate()


def log_size(path: Path) -> int:
    """How long the server log is now, to read later only what came after."""
    return path.stat().st_size if path.exists() else 0


def log_tail(path: Path, offset: int) -> str:
    """The last lines that the server logged since `offset`, on one line."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        since = offset if offset <= size else 0
        file.seek(max(since, size - LOG_TAIL_BYTES))
        text = file.read().decode("utf-8", errors="replace")
    return " | ".join(text.strip().splitlines()[-LOG_TAIL_LINES:])
