"""Fields of GitHub's answers: a value of another type than expected reads as nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from juggernaut.domain.limits import TEXT_CHARS
from juggernaut.domain.redact import clean, shorten

LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def field(data: object, *path: str) -> object:
    """Walk down a path of keys."""
    for key in path:
        if not isinstance(data, Mapping):
            return None
        data = data.get(key)
    return data


def text(data: object, *path: str) -> str:
    """Give a text made harmless and short, or an empty one."""
    found = field(data, *path)
    return shorten(clean(found), TEXT_CHARS) if isinstance(found, str) else ""


def number(data: object, *path: str) -> int:
    """Give a whole number, or 0."""
    found = field(data, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def flag(data: object, *path: str) -> bool | None:
    """Give a truth value, or None when it was not told."""
    found = field(data, *path)
    return found if isinstance(found, bool) else None


def items(data: object, *path: str) -> list[object]:
    """Give a list, or an empty one."""
    found = field(data, *path)
    return found if isinstance(found, list) else []


def moment(data: object, *path: str) -> datetime:
    """Give a time; a missing one lies long ago."""
    found = field(data, *path)
    if not isinstance(found, str):
        return LONG_AGO
    try:
        read = datetime.fromisoformat(found)
    except ValueError:
        return LONG_AGO
    return read if read.tzinfo else read.replace(tzinfo=UTC)
