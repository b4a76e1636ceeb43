"""Reading a provider's JSON at the door: bounded, typed, clean enough for the database."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Final, NoReturn

from juggernaut.domain.errors import ModelGarbled
from juggernaut.domain.model import Json

# What PostgreSQL's text refuses: NUL, and halves of a surrogate pair.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_MODEL_NAME_CHARS: Final = 200


def json_object(raw: bytes | str, what: str) -> Json:
    """Parse one JSON object with finite numbers; raises ModelGarbled that names `what`."""
    try:
        value = _clean(json.loads(raw, parse_constant=_refuse_constant, parse_float=_finite))
    except (ValueError, RecursionError):
        raise ModelGarbled(f"{what} is not valid JSON") from None
    if not isinstance(value, dict):
        raise ModelGarbled(f"{what} is not a JSON object but {type(value).__name__}")
    return value


def mapping(value: object, what: str) -> Json:
    """Give a JSON object that must be one; raises ModelGarbled."""
    if not isinstance(value, Mapping):
        raise ModelGarbled(f"{what} is missing or not a JSON object")
    return value


def items(value: object, what: str) -> list[object]:
    """Give a JSON list that must be one; raises ModelGarbled."""
    if not isinstance(value, list):
        raise ModelGarbled(f"{what} is missing or not a list")
    return value


def text(value: object, what: str) -> str:
    """Give a text that must be one; raises ModelGarbled."""
    if not isinstance(value, str):
        raise ModelGarbled(f"{what} is missing or not text")
    return value


def tool_name(value: object, what: str) -> str:
    """Give the name of a tool in the form that providers take back; raises ModelGarbled."""
    name = text(value, what)
    if not _TOOL_NAME.match(name):
        raise ModelGarbled(f"{what} {name[:64]!r} is not a tool name")
    return name


def count(source: Json, key: str) -> int | None:
    """Give a number of tokens: absent or null is 0, None for what cannot be one."""
    value = source.get(key)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value


def model_name(value: object, asked: str) -> str:
    """Give the model that answered as the provider names it, or else the one that was asked."""
    if not isinstance(value, str) or not value or len(value) > _MODEL_NAME_CHARS:
        return asked
    return value


def _clean(value: object) -> object:
    """Replace what the database cannot store, in texts and keys at any depth."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {str(_clean(key)): _clean(item) for key, item in value.items()}
    return value


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(name)


def _finite(digits: str) -> float:
    """Refuse a number that overflows."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(digits)
    return value
