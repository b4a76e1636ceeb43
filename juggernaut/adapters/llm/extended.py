"""What models.yaml says of a model whose context is longer than usual: the prices, the beta."""

from __future__ import annotations

import re
from typing import Final

from juggernaut.adapters.llm.prices import LongContext
from juggernaut.adapters.llm.yaml_file import Section
from juggernaut.domain.errors import ConfigError

PRICES: Final = "long_context_usd_per_mtok"
BETA: Final = "beta"
KEYS: Final = (PRICES, BETA)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


def long_context(part: Section, context_tokens: int | None) -> LongContext | None:
    """Read from which length on a request costs more, and what; all of it has to be said."""
    if part.values.get(PRICES) is None:
        return None
    kinds = ("input", "output", "cache_read", "cache_write")
    said = part.section(PRICES, ("above_tokens", *kinds))
    above = said.optional_count("above_tokens")
    if above is None:
        raise ConfigError(f"{said.at('above_tokens')}: a whole number from 1 is needed, not None")
    if context_tokens is not None and above >= context_tokens:
        raise ConfigError(
            f"{said.at('above_tokens')}: {above} is never passed with context_tokens"
            f" {context_tokens}: give the model's larger context, or remove {PRICES}"
        )
    return LongContext(above, *(said.dollars(kind) for kind in kinds))


def beta(part: Section, *, speaks: str, needed: str) -> str | None:
    """Read the name of a beta, which becomes a header of the one format that has betas."""
    name = part.optional_text(BETA)
    if name is None:
        return None
    if speaks != needed:
        raise ConfigError(
            f"{part.at(BETA)}: {name!r} is for the format {needed}, and this model speaks"
            f" {speaks}: remove it"
        )
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{part.at(BETA)}: {name!r} is no name of a beta: give one of small letters, digits"
            " and '-', as in context-1m-2025-08-07"
        )
    return name
