"""Prompts with holes: `{{name}}` is filled once; a value is never searched for holes again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from juggernaut.domain.errors import ConfigError

_HOLE: Final = re.compile(r"\{\{\s*([a-z_]+)\s*\}\}")


def render(name: str, template: str, values: Mapping[str, str]) -> str:
    """Fill a prompt; raises ConfigError for a hole without a value."""

    def fill(hole: re.Match[str]) -> str:
        """Give the value of one hole."""
        if hole.group(1) not in values:
            known = ", ".join(sorted(values))
            raise ConfigError(
                f"the prompt {name} asks for {{{{{hole.group(1)}}}}}; it may use {known}"
            )
        return values[hole.group(1)]

    return _HOLE.sub(fill, template)
