"""Reads the settings: defaults < file < environment < flags, and remembers which one won.

A secret X can also come from the file that X_FILE names. What is wrong is one ConfigError that
names the setting, where it came from, and the remedy; it never repeats a secret.
"""

from __future__ import annotations

import difflib
import math
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, SecretStr, ValidationError

from juggernaut.adapters.llm.yaml_file import read_yaml
from juggernaut.app.resources import Resources, find_resources, role_files
from juggernaut.app.setting_types import MASK, mask_dsn, masked, split_slots
from juggernaut.app.settings import ALL_ROLES, Settings
from juggernaut.domain import limits
from juggernaut.domain.errors import ConfigError

CONFIG_VARIABLE: Final = "JUGGERNAUT_CONFIG"
SHIPPED_FILE: Final = "juggernaut.yaml"
SECRET_FILE_BYTES: Final = 64 * limits.KIB
SECRETS: Final = frozenset(
    {
        "database_url",
        "worker_database_url",
        "database_unpooled_url",
        "anthropic_api_key",
        "openai_api_key",
        "openrouter_api_key",
        "added_model_key",
        "github_token",
        "github_app_private_key",
        "github_webhook_secret",
    }
)

COMMANDS: Final = frozenset({"test_command"})
OTHER_ADDRESSES: Final = ("worker_database_url", "database_unpooled_url")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each where its value came from."""

    settings: Settings
    resources: Resources
    sources: Mapping[str, str]
    files: Mapping[str, Path] = field(default_factory=dict)  # secrets that came from one

    def roles(self) -> dict[str, Path]:
        """Give the files of the roles that worker_type names."""
        every = self.all_roles()
        names = self.settings.worker_type
        return every if ALL_ROLES in names else {name: every[name] for name in names}

    def all_roles(self) -> dict[str, Path]:
        """Give the files of all roles there are."""
        extra = self.settings.roles_dir
        return role_files([self.resources.roles, *([extra] if extra else [])])

    def explain(self) -> Iterator[dict[str, object]]:
        """Give name, variable, value (secrets masked) and source of each setting."""
        for name, described in Settings.model_fields.items():
            yield {
                "setting": name,
                "variable": described.alias,
                "value": shown_setting(name, getattr(self.settings, name)),
                "source": self.sources.get(name, "default"),
            }


def load_settings(
    flags: Mapping[str, object] | None = None, config: str | Path | None = None
) -> Loaded:
    """Read all sources; `flags` has settings by name (None: flag not given)."""
    resources = find_resources()
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    chosen = config or os.environ.get(CONFIG_VARIABLE)
    files = [resources.config / SHIPPED_FILE, *([Path(chosen)] if chosen else [])]
    layers = [
        *((read_file(path), f"file {path}") for path in files),
        (read_environment(), "environment"),
        ({k: v for k, v in (flags or {}).items() if v is not None}, "flag"),
    ]
    for layer, source in layers:
        if source == "flag" and "database_url" in layer:
            # Addresses in the environment belong to another database than the one of --dsn.
            for name in OTHER_ADDRESSES:
                values.pop(name, None)
                sources.pop(name, None)
        for name, value in layer.items():
            values[name] = merged(values.get(name), parsed(name, value))
            sources[name] = f"{source} {variable(name)}" if source == "environment" else source
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(first_line(error, values, sources)) from None
    loaded = Loaded(settings, resources, sources, files_of(sources))
    check_roles(loaded)
    return loaded


def merged(old: object, new: object) -> object:
    """Lay a value over an older one; mappings are laid over key by key."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**old, **new}
    return new


def parsed(name: str, value: object) -> object:
    """Give the text of slots as a mapping; one that is no such text stays, and is refused later."""
    try:
        return split_slots(value) if name == "slots" else value
    except ValueError:
        return value


def variable(name: str) -> str:
    """Give the name of a setting in the environment."""
    return str(Settings.model_fields[name].alias)


def read_file(path: Path) -> dict[str, object]:
    """Read a settings file; an unknown key is refused with the nearest known one."""
    content = read_yaml(path)
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: must hold `setting: value` lines")
    known = list(Settings.model_fields)
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            raise ConfigError(f"{path}: unknown key {str(key)[:80]!r}; {hint}")
    return {str(key): value for key, value in content.items() if value is not None}


def read_environment() -> dict[str, object]:
    """Read the environment; an empty variable counts as not set."""
    found: dict[str, object] = {}
    for name in Settings.model_fields:
        text = os.environ.get(variable(name), "").strip()
        path = os.environ.get(f"{variable(name)}_FILE", "") if name in SECRETS else ""
        if text and path:
            raise ConfigError(f"{variable(name)} and {variable(name)}_FILE are both set: keep one")
        if text or path:
            found[name] = text or read_secret(variable(name), Path(path))
    return found


def secret_files() -> list[Path]:
    """Give the files that NAME_FILE variables name."""
    named = (os.environ.get(f"{variable(name)}_FILE") for name in sorted(SECRETS))
    return [Path(path) for path in named if path]


def files_of(sources: Mapping[str, str]) -> dict[str, Path]:
    """Give the files of the secrets that came from one, by the name of the setting."""
    files = {name: os.environ.get(f"{variable(name)}_FILE", "") for name in sorted(SECRETS)}
    return {
        name: Path(path).absolute()
        for name, path in files.items()
        if path and sources.get(name, "").startswith("environment")
    }


def read_secret(name: str, path: Path) -> str:
    """Read a secret from a file; the line end after it does not count."""
    try:
        with path.open("rb") as file:
            raw = file.read(SECRET_FILE_BYTES + 1)
        text = raw.decode("utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{name}_FILE: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name}_FILE: {path} is not text") from None
    if not text or len(raw) > SECRET_FILE_BYTES:
        raise ConfigError(f"{name}_FILE: {path} is empty or larger than {SECRET_FILE_BYTES} bytes")
    return text


def first_line(
    error: ValidationError, values: Mapping[str, object], sources: Mapping[str, str]
) -> str:
    """Tell the first thing that is wrong, in one line."""
    fault = error.errors(include_url=False, include_context=False)[0]
    place = str(fault["loc"][0]) if fault["loc"] else ""
    aliases = {str(field.alias): name for name, field in Settings.model_fields.items()}
    name = aliases.get(place, place)
    message = str(fault["msg"]).removeprefix("Value error, ")
    value = "" if name in SECRETS else f" = {shown(values.get(name))[:80]!r}"
    return f"{told(name, sources)}{value}: {message}"


def told(name: str, sources: Mapping[str, str]) -> str:
    """Name a setting as the person wrote it, with the place."""
    source = sources.get(name, "default")
    written = variable(name) if source.startswith("environment") else name
    return f"{written} (from {source})"


def check_roles(loaded: Loaded) -> None:
    """Refuse a role that has no file, in worker_type or slots."""
    known = list(loaded.all_roles())
    for setting, names in (
        ("worker_type", loaded.settings.worker_type),
        ("slots", tuple(loaded.settings.slots)),
    ):
        valid = [*known, ALL_ROLES] if setting == "worker_type" else known
        shipped = loaded.sources.get(setting, "").endswith(SHIPPED_FILE)
        unknown = [name for name in names if name not in valid]
        if unknown and not (setting == "slots" and shipped):
            raise ConfigError(
                f"{told(setting, loaded.sources)}: unknown role {unknown[0]!r};"
                f" valid are {', '.join(valid) or 'none'}"
            )


def flow(value: object) -> str:
    """Give a value as YAML in one line.

    >>> flow({"quality": "enforce", "labels": ["juggernaut", "risk: {risk}"]})
    "{quality: enforce, labels: [juggernaut, 'risk: {risk}']}"
    """
    return str(
        yaml.safe_dump(
            value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf
        )
    ).strip()


def shown_setting(name: str, value: object) -> str:
    """Give the value of a setting as a settings file takes it; secrets are masked."""
    if name in COMMANDS and isinstance(value, tuple):
        return masked(shlex.join(value))
    return shown(value)


def shown(value: object) -> str:
    """Give a value as YAML has it, in one line; secrets are masked."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, BaseModel):
        return masked(flow(value.model_dump(mode="json")))
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return mask_dsn(text) if "://" in text else MASK
    if isinstance(value, Mapping):
        return ",".join(f"{key}={shown(item)}" for key, item in value.items())
    if isinstance(value, tuple):
        return ",".join(shown(item) for item in value)
    return masked(str(value))
