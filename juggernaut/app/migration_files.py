"""The migration files: NNNN_name.sql, numbered from 0001 without gaps."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from juggernaut.domain.errors import ConfigError

FILE_NAME = re.compile(r"(\d{4})_([a-z0-9]+(?:_[a-z0-9]+)*)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file; `checksum` is the sha256 of its text with LF line ends."""

    version: int
    name: str
    sql: str
    checksum: str


def load_migrations(folder: Path) -> tuple[Migration, ...]:
    """Read NNNN_name.sql, from 0001 without gaps; ConfigError names the first bad file."""
    if not folder.is_dir():
        raise ConfigError(f"the migrations folder {folder} does not exist")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".sql")
    migrations: list[Migration] = []
    for path in files:
        migration = _load(path)
        expected = len(migrations) + 1
        if migration.version < expected:
            twin = migrations[-1].name if migrations else "0001"
            raise ConfigError(f"migration {path.name} has a number that is taken ({twin})")
        if migration.version > expected:
            raise ConfigError(f"migration {path.name} leaves a gap: {expected:04d} is missing")
        migrations.append(migration)
    return tuple(migrations)


def _load(path: Path) -> Migration:
    """Read one file and check its name and text."""
    found = FILE_NAME.fullmatch(path.name)
    if found is None:
        raise ConfigError(f"migration {path.name} is not named NNNN_lower_case_words.sql")
    try:
        text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ConfigError(f"migration {path.name} is not UTF-8 text") from None
    if not text.strip():
        raise ConfigError(f"migration {path.name} is empty")
    if found[1] == "0000":
        raise ConfigError(f"migration {path.name}: numbers start at 0001")
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return Migration(int(found[1]), path.name, text, checksum)
