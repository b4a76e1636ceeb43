"""Secrets that came from files, read again where their file has changed: no restart is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import structlog
from pydantic import SecretStr

from juggernaut.app.setting_sources import SECRETS, read_secret, variable
from juggernaut.app.setting_types import check_dsn
from juggernaut.app.settings import Settings
from juggernaut.domain.errors import ConfigError
from juggernaut.domain.secret_forms import remember

DATABASES: Final = "database_"

Mark = tuple[int, int, int]


class LiveSettings:
    """The settings of a process, with each secret as its file has it at this moment.

    A file that is gone, empty or no secret changes nothing: the last good value stays in use.
    """

    def __init__(self, settings: Settings, files: Mapping[str, Path]) -> None:
        """Take the settings as they were read, and the files that some of them came from."""
        self._settings = settings
        self._files = dict(files)
        # Read anew at the first look: a file may have changed since the settings were read.
        self._marks: dict[str, Mark | None] = {}

    def now(self) -> Settings:
        """Give the settings; only a file that looks changed is read."""
        for name, path in self._files.items():
            mark = _mark(path)
            if mark is not None and self._marks.get(name) != mark:
                self._marks[name] = mark
                self._read(name, path)
        return self._settings

    def worker_dsn(self) -> str:
        """Give the database for workers at this moment."""
        return self.now().worker_dsn()

    def listen_dsn(self) -> str:
        """Give the database for LISTEN at this moment."""
        return self.now().listen_dsn()

    def _read(self, name: str, path: Path) -> None:
        """Take a new value over, and know it as a secret before anybody uses it."""
        log = structlog.get_logger(__name__)
        try:
            value = SecretStr(read_secret(variable(name), path))
            if DATABASES in name:
                check_dsn(value)
        except (ConfigError, ValueError) as error:
            log.warning("secret not changed", variable=variable(name), error=str(error))
            return
        if value != getattr(self._settings, name):
            for text in secret_values(value):
                remember(text)
            self._settings = self._settings.model_copy(update={name: value})
            log.info("secret changed", variable=variable(name))


def known_values(settings: Settings) -> Iterator[str]:
    """Give every secret of the settings, so that it is scrubbed wherever it turns up."""
    for name in sorted(SECRETS):
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield from secret_values(value)


def secret_values(secret: SecretStr) -> Iterator[str]:
    """Give a secret, and the password alone where it is an address."""
    text = secret.get_secret_value()
    yield text
    password = urlsplit(text).password if "://" in text else None
    if password:
        yield unquote(password)


def _mark(path: Path) -> Mark | None:
    """Give what changes with a file's content; None when it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
