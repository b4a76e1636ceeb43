"""As whom PostgreSQL runs: it refuses root, so root drops to an unprivileged user."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from juggernaut.domain.errors import ConfigError

PROBE_TIMEOUT_SECONDS = 20
UNPRIVILEGED_USER = "nobody"
PASSED_ON = ("PATH", "TZ", "TMPDIR", "SYSTEMROOT")


class _Process(TypedDict, total=False):
    """The keyword arguments for subprocess that make a child run as somebody else."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that owns the data folder and runs the server; `dropped` when we are root."""

    uid: int
    gid: int
    dropped: bool

    def process(self) -> _Process:
        """The subprocess arguments that run a child as this user."""
        if not self.dropped:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a file or folder that we just created to this user."""
        if self.dropped:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def can_enter(self, folder: Path) -> bool:
        """Whether this user can reach `folder`, asked of the kernel (modes, ACLs, mounts)."""
        if not self.dropped:
            return os.access(folder, os.X_OK)
        return self.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)]).returncode == 0

    def run(
        self, command: list[str], *, timeout_seconds: float = PROBE_TIMEOUT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a short command as this user; return code 126 when it cannot even be started."""
        try:
            return subprocess.run(
                command,
                cwd="/",
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_seconds,
                check=False,
                start_new_session=True,
                **self.process(),
            )
        except (OSError, subprocess.SubprocessError) as error:
            return subprocess.CompletedProcess(command, 126, "", str(error))


def clean_environment() -> dict[str, str]:
    """The environment of server processes: none of the caller's PG* variables, messages in C."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C", "HOME": "/"}


def choose_identity(data_folder: Path) -> Identity:
    """Ourselves, or as root the owner of an existing data folder, or else `nobody`."""
    uid = os.geteuid()
    if uid != 0:
        return Identity(uid, os.getegid(), dropped=False)
    if (data_folder / "PG_VERSION").exists():
        owner = data_folder.stat()
        if owner.st_uid == 0:
            raise ConfigError(
                f"the data folder {data_folder} belongs to root, and PostgreSQL refuses to run as"
                f" root: give it to another user (chown -R {UNPRIVILEGED_USER} {data_folder})"
            )
        return Identity(owner.st_uid, owner.st_gid, dropped=True)
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        raise ConfigError(
            f"PostgreSQL refuses to run as root and there is no user {UNPRIVILEGED_USER!r} here:"
            " run as a normal user, or set DATABASE_URL"
        ) from None
    identity = Identity(entry.pw_uid, entry.pw_gid, dropped=True)
    tried = identity.run(["/bin/sh", "-c", "exit 0"])
    if tried.returncode != 0:
        raise ConfigError(
            f"cannot start a process as user {UNPRIVILEGED_USER!r} ({tried.stderr.strip()}):"
            " run as a normal user, or set DATABASE_URL"
        )
    return identity
