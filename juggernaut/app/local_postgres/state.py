"""What the processes that share a local server know of it: a small 0600 file, and a lock."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from juggernaut.domain.errors import ConfigError

LOCK_POLL_SECONDS = 0.02
LOCK_TIMEOUT_SECONDS = 150.0
LOG_LIMIT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Places:
    """The files beside a data folder; everything in them is ours alone (0600)."""

    requested: Path

    def beside(self, suffix: str) -> Path:
        """A file next to the data folder, named after it."""
        return self.requested.with_name(f"{self.requested.name}.{suffix}")

    @property
    def lock(self) -> Path:
        """Held while somebody starts or stops the server."""
        return self.beside("lock")

    @property
    def state(self) -> Path:
        """Where the server listens, and the password."""
        return self.beside("server.json")

    @property
    def log(self) -> Path:
        """What the server wrote on standard error."""
        return self.beside("log")


@dataclass(frozen=True, slots=True)
class State:
    """One server: where it keeps its data, where it listens and how to log in."""

    data_dir: Path
    port: int
    user: str
    password: str = field(repr=False)
    durable: bool = True


def places(data_dir: Path) -> Places:
    """The places of `data_dir`, whatever way it was written."""
    return Places(Path(os.path.realpath(data_dir.expanduser())))


def read_state(path: Path) -> State | None:
    """The shared state, or None when nobody has started a server here yet."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return State(
            data_dir=Path(str(raw["data_dir"])),
            port=int(raw["port"]),
            user=str(raw["user"]),
            password=str(raw["password"]),
            durable=bool(raw["durable"]),
        )
    except FileNotFoundError:
        return None
    except PermissionError:
        raise ConfigError(
            f"{path} belongs to another user: run as that user, or choose another data folder"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is damaged ({error}): restore it, or delete it together with its data folder"
            " to start empty"
        ) from None


def write_state(path: Path, state: State) -> None:
    """Replace the shared state in one step; the new file is 0600 from its first byte."""
    content = asdict(state) | {"data_dir": str(state.data_dir)}
    descriptor, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def make_parent(folder: Path, mode: int) -> None:
    """Create the missing parents of `folder` with `mode`; what exists is left as it is."""
    missing = [parent for parent in folder.parents if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(exist_ok=True)
        parent.chmod(mode)


def private_folder(data_dir: Path) -> Path:
    """A folder of ours that every user can enter, unique for `data_dir`; it survives a reboot."""
    lasting = Path("/var/tmp")  # noqa: S108 - every level below is checked to be ours
    root = lasting if os.access(lasting, os.W_OK) else Path(tempfile.gettempdir())
    top = root / f"juggernaut-{os.geteuid()}"
    for folder in (top, top / hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]):
        try:
            folder.mkdir(mode=0o711)
            folder.chmod(0o711)
        except FileExistsError:
            _refuse_foreign(folder)
    return folder


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder with our name that somebody else made in a world-writable place."""
    found = folder.lstat()
    ours = found.st_uid == os.geteuid() and not found.st_mode & 0o022
    if not ours or folder.is_symlink() or not folder.is_dir():
        raise ConfigError(f"{folder} was made by somebody else: remove it, or set TMPDIR")


def open_log(path: Path) -> int:
    """Open the server log for appending (a descriptor); an oversized one starts again."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    if os.fstat(descriptor).st_size > LOG_LIMIT_BYTES:
        os.ftruncate(descriptor, 0)
    return descriptor


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Hold the start lock; the kernel lets it go when this process dies in any way."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot use {path}: {error.strerror}") from None
    try:
        await _take(descriptor, path)
        yield
    finally:
        os.close(descriptor)


async def _take(descriptor: int, path: Path) -> None:
    """Wait for the lock; ConfigError when somebody holds it for too long."""
    try:
        async with asyncio.timeout(LOCK_TIMEOUT_SECONDS):
            while not _try_lock(descriptor):  # noqa: ASYNC110 - the kernel cannot notify
                await asyncio.sleep(LOCK_POLL_SECONDS)
    except TimeoutError:
        raise ConfigError(
            f"another process has held {path} for {LOCK_TIMEOUT_SECONDS:.0f} s: end it and retry"
        ) from None


def _try_lock(descriptor: int) -> bool:
    """Take the lock without waiting; False when somebody else holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
