"""Reads a tool's arguments, which a model wrote: each has a type and a bound, or is refused."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.model import Json

ARGV_WORDS: Final = 200
SHOWN_CHARS: Final = 60


def only(arguments: Json, known: Collection[str]) -> None:
    """Refuse an argument that the tool does not have, rather than ignore what was meant."""
    unknown = sorted(str(name)[:SHOWN_CHARS] for name in arguments if name not in known)
    if unknown:
        raise InvalidInput(
            f"unknown argument {', '.join(unknown)}; this tool takes {', '.join(known)}"
        )


def text(arguments: Json, name: str, most_chars: int, default: str | None = None) -> str:
    """Give a string argument of at most so many characters."""
    value = arguments.get(name, default)
    if not isinstance(value, str):
        raise InvalidInput(f"{name} must be a string, not {_shown(value)}")
    if len(value) > most_chars:
        raise InvalidInput(f"{name} has {len(value)} characters; at most {most_chars} are allowed")
    if any("\ud800" <= mark <= "\udfff" for mark in value):
        raise InvalidInput(f"{name} holds half of a surrogate pair, which is not text")
    return value


def number(arguments: Json, name: str, default: int, most: int) -> int:
    """Give a whole number from 1 up; more than `most` counts as `most`."""
    value = arguments.get(name, default)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(f"{name} must be a whole number from 1 up, not {_shown(value)}")
    return min(value, most)


def words(arguments: Json, name: str, most_chars: int) -> list[str]:
    """Give a list of strings, not empty."""
    value = arguments.get(name)
    if not isinstance(value, list) or not value or len(value) > ARGV_WORDS:
        raise InvalidInput(
            f'{name} must be a list of 1 to {ARGV_WORDS} strings, for instance ["python", "-m",'
            f' "pytest"], not {_shown(value)}'
        )
    return [text({name: word}, name, most_chars) for word in value]


def _shown(value: object) -> str:
    """Give a value as it may stand in a message."""
    if value is None:
        return "nothing"
    whole = repr(value)
    return whole if len(whole) <= SHOWN_CHARS else f"{whole[:SHOWN_CHARS]}..."
