"""What can be checked of a fork before a task is made: its cassette, its step and its model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from juggernaut.adapters.cassettes.folder import CassetteFolder, checked, load
from juggernaut.adapters.llm.models_config import load_models_config
from juggernaut.app.setting_sources import load_settings
from juggernaut.domain.errors import ConfigError, InvalidInput
from juggernaut.domain.forks import check_fork

SCRIPTED = "scripted/"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The cassette of a fork: its name in the folder of the workers, and the sha256 of it."""

    name: str
    digest: str


def check_model(name: str | None, config: str | None) -> None:
    """Refuse a model that models.yaml does not know; a script is known to its workers only."""
    if name is None or name.startswith(SCRIPTED):
        return
    loaded = load_settings({}, config)
    load_models_config(loaded.resources.config / "models.yaml").resolve(name)


def choose(task: str, file: Path | None, from_step: int, config: str | None) -> Chosen:
    """Give the cassette of a task's attempt; raises ConfigError or InvalidInput."""
    path = file or _newest(task, config)
    read = load(path)
    cassette = read.cassette
    if cassette.task != task:
        raise InvalidInput(f"cassette {path} is of task {cassette.task}, not of {task}")
    if not cassette.runs:
        raise InvalidInput(f"cassette {path} has no run of the code agent: there are no steps")
    check_fork(cassette.runs[0], from_step)
    return Chosen(checked(path.name), read.digest)


def _newest(task: str, config: str | None) -> Path:
    """Find the cassette of the task's newest attempt."""
    folder = load_settings({}, config).settings.record_folder()
    if folder is None:
        raise ConfigError("no folder of cassettes: set JUGGERNAUT_RECORD, or give --cassette FILE")
    found = CassetteFolder(folder).newest(task)
    if found is None:
        raise ConfigError(f"no cassette of task {task} in {folder}: give --cassette FILE")
    return found
