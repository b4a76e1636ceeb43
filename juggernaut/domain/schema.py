"""A small checker for the part of JSON Schema that structured model answers use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.model import Json


def _is_number(value: object) -> bool:
    """Say whether a value is a number; a truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


_KINDS: Final[Mapping[str, Callable[[object], bool]]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list | tuple),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": _is_number,
    "null": lambda value: value is None,
}


def check_schema(value: object, schema: Json, where: str = "the answer") -> None:
    """Raise InvalidInput naming the first place where a value does not fit a schema."""
    kinds = schema.get("type", tuple(_KINDS))
    allowed = (kinds,) if isinstance(kinds, str) else kinds
    if not isinstance(allowed, list | tuple) or not any(_KINDS[str(k)](value) for k in allowed):
        raise InvalidInput(f"{where} must be {_names(allowed)}, not {type(value).__name__}")
    choices = schema.get("enum")
    if isinstance(choices, list | tuple) and value not in choices:
        raise InvalidInput(f"{where} must be one of {_names(choices)}, not {str(value)[:80]!r}")
    if isinstance(value, str):
        _between(len(value), schema, "minLength", "maxLength", f"the length of {where}")
    elif isinstance(value, Mapping):
        _check_object(value, schema, where)
    elif isinstance(value, list | tuple):
        _check_array(value, schema, where)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _between(value, schema, "minimum", "maximum", where)


def _check_object(value: Mapping[str, object], schema: Json, where: str) -> None:
    """Check keys and their values."""
    properties = schema.get("properties")
    known = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    for key in required if isinstance(required, list | tuple) else ():
        if key not in value:
            raise InvalidInput(f"{where} lacks {key!r}")
    for key, item in value.items():
        part = known.get(key)
        if isinstance(part, Mapping):
            check_schema(item, part, f"{where}.{key}")
        elif schema.get("additionalProperties") is False:
            raise InvalidInput(f"{where} has an unknown key {str(key)[:80]!r}")


def _check_array(value: list[object] | tuple[object, ...], schema: Json, where: str) -> None:
    """Check the number of items, and each item."""
    _between(len(value), schema, "minItems", "maxItems", f"the number of items of {where}")
    items = schema.get("items")
    if isinstance(items, Mapping):
        for number, item in enumerate(value):
            check_schema(item, items, f"{where}[{number}]")


def _between(number: float, schema: Json, low: str, high: str, what: str) -> None:
    """Check a number against two optional bounds of a schema."""
    least, most = schema.get(low), schema.get(high)
    if isinstance(least, int | float) and number < least:
        raise InvalidInput(f"{what} must be at least {least}, not {number}")
    if isinstance(most, int | float) and number > most:
        raise InvalidInput(f"{what} must be at most {most}, not {number}")


def _names(values: object) -> str:
    """List values for a message."""
    return ", ".join(str(v) for v in values) if isinstance(values, list | tuple) else str(values)
