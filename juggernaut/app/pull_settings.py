"""What an operator may say about pull requests: `pulls:` in a settings file."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from json import dumps
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from juggernaut.domain import limits
from juggernaut.domain.errors import ConfigError
from juggernaut.domain.model import Json
from juggernaut.domain.pull_rules import Linter, PullRules, Quality

RULES_FILE: Final = "quality.toml"
PERSON: Final = r"^[^<>\x00-\x1f\x7f]{1,100}$"
ADDRESS: Final = r"^[^<>@\s\x00-\x1f\x7f]{1,64}@[^<>@\s\x00-\x1f\x7f]{1,200}$"
MOST_LABELS: Final = 10
CO_AUTHOR: Final = r"^[^<>\x00-\x1f\x7f]{1,100} <[^<>@\s]{1,64}@[^<>@\s]{1,200}>$"

# GitHub takes 50 characters; a comma would be two labels elsewhere.
Label = Annotated[str, Field(pattern=r"^[^,\s\x00-\x1f\x7f]([^,\x00-\x1f\x7f]{0,48}\S)?$")]


class PullSettings(BaseModel):
    """How large a pull request may be, whose name is on it, and how its code is looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    max_changed_lines: int = Field(limits.PULL_LINES, ge=1, le=limits.DIFF_BYTES)
    max_files: int = Field(limits.PULL_FILES, ge=1, le=limits.DIFF_FILES)
    author_name: str = Field("Juggernaut", pattern=PERSON)
    author_email: str = Field("juggernaut@localhost", pattern=ADDRESS)
    co_author: str | None = Field(None, pattern=CO_AUTHOR)
    sign_off: bool = False
    quality: Quality = Quality.ENFORCE
    merge_method: Literal["squash", "merge", "rebase"] = "squash"
    labels: tuple[Label, ...] = Field(("juggernaut", "risk: {risk}"), max_length=MOST_LABELS)

    @field_validator("labels", mode="before")
    @classmethod
    def split(cls, value: object) -> object:
        """Read the short form `labels=one|two`; `labels=` is none at all."""
        return [name for name in value.split("|") if name] if isinstance(value, str) else value

    def trailers(self) -> tuple[str, ...]:
        """Give the trailers that each commit gets besides its task."""
        found = [f"Co-authored-by: {self.co_author}"] if self.co_author else []
        if self.sign_off:
            found.append(f"Signed-off-by: {self.author_name} <{self.author_email}>")
        return tuple(found)

    def rules(self, config: Path) -> PullRules:
        """Give the rules for the work, with the linter of this installation."""
        installed = find_spec("ruff") is not None
        # -I: a work tree with a folder `ruff` in it must not be taken for the linter.
        argv = (sys.executable, "-I", "-m", "ruff") if installed else None
        return PullRules(
            max_changed_lines=self.max_changed_lines,
            max_files=self.max_files,
            trailers=self.trailers(),
            labels=self.labels,
            quality=self.quality,
            linter=Linter(argv, linter_rules(config / RULES_FILE)),
        )


def linter_rules(path: Path) -> tuple[str, ...]:
    """Read the shipped rules as TOML pairs: inside a sandbox their file may not be there."""
    try:
        rules = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    return tuple(_pairs(rules, ""))


def _pairs(table: Json, start: str) -> Iterator[str]:
    """Yield `dotted.key = value` for each value of a table; JSON is TOML for lists and texts."""
    for key, value in table.items():
        name = f"{start}{dumps(key)}"
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{name}.")
        else:
            yield f"{name} = {dumps(value)}"


def read_pulls(value: object) -> object:
    """Take `max_files=20,quality=report` as a mapping; an error names the part that is wrong."""
    if isinstance(value, str):
        value = dict(_part(piece.strip()) for piece in value.split(",") if piece.strip())
    if not isinstance(value, Mapping):
        return value
    try:
        return PullSettings.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        place = str(fault["loc"][0]) if fault["loc"] else "pulls"
        raise ValueError(f"{place[:80]}: {fault['msg']}") from None


def _part(piece: str) -> tuple[str, str]:
    """Split `name=value`."""
    name, sign, value = piece.partition("=")
    if not sign:
        raise ValueError("has a part without '='; the form is max_files=20,quality=report")
    return name.strip(), value.strip()


Pulls = Annotated[PullSettings, BeforeValidator(read_pulls)]
