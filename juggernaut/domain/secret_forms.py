"""Every form in which a secret could stand in a text, and the secrets that this process knows.

The forms are bounded: some twenty for each secret, whatever the text. What a stranger's code
does on purpose (a letter a line, an own cipher) has no form; the sandbox keeps secrets from it.
"""

from __future__ import annotations

import base64
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_plus

from juggernaut.domain.limits import KNOWN_SECRETS

SHORTEST_SECRET_CHARS: Final = 6  # a shorter one would blank half of every text
# `postgres` and `password` are passwords on many a desk, and words of every program: to mask them
# would change the code that is read and written, and hide nothing.
_PLAIN_WORD: Final = re.compile(r"[A-Za-z]{1,12}")
SHORTEST_LINE_CHARS: Final = 24  # of a secret of many lines, a line that says something alone
_BASE64_BYTES: Final = 3  # become four signs, so a secret in a longer text starts at one of three
_BITS_A_BYTE: Final = 8
_BITS_A_SIGN: Final = 6

# Newest last: a process that is told new ones for years forgets the oldest.
_known: Final[deque[str]] = deque(maxlen=KNOWN_SECRETS)


def remember(value: str) -> None:
    """Take a secret out of every text that is scrubbed from now on in this process."""
    if value not in _known:
        _known.append(value)


@contextmanager
def remembered(values: Iterable[str]) -> Iterator[None]:
    """Know these secrets, and whichever are added meanwhile, as long as the block lasts."""
    before = tuple(_known)
    for value in values:
        remember(value)
    try:
        yield
    finally:
        _known.clear()
        _known.extend(before)


def forms(values: Iterable[str] = ()) -> tuple[str, ...]:
    """List every form of these secrets and of those that the process knows, the longest first."""
    return _forms(tuple(sorted({*values, *_known})))


def hides(value: str) -> bool:
    """Say whether a secret is taken out of texts: not a very short one, and not a plain word."""
    return len(value) >= SHORTEST_SECRET_CHARS and _PLAIN_WORD.fullmatch(value) is None


@lru_cache(maxsize=8)
def _forms(values: tuple[str, ...]) -> tuple[str, ...]:
    """Write them all; the same few lists are asked for again and again."""
    wanted = [value for value in values if hides(value)]
    found = {form for value in wanted for form in (*_forms_of(value), *_lines_of(value))}
    kept = (form for form in found if len(form) >= SHORTEST_SECRET_CHARS)
    return tuple(sorted(kept, key=len, reverse=True))


def _lines_of(value: str) -> Iterator[str]:
    """Give the lines of a secret that has many, also reversed: a key may be shown line by line."""
    lines = value.splitlines()
    if len(lines) > 1:
        for line in lines:
            if len(line) >= SHORTEST_LINE_CHARS:
                yield line
                yield line[::-1]


def _forms_of(value: str) -> Iterator[str]:
    """Give one secret plain, reversed, quoted, in hex and in base64."""
    raw = value.encode("utf-8", "backslashreplace")
    yield value
    yield value[::-1]
    yield json.dumps(value)[1:-1]
    for quoted in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield quoted
        yield _lower_quoted(quoted)
    for digits in (raw.hex(), raw.hex(" "), raw.hex(":")):
        yield digits
        yield digits.upper()
    every = "".join(f"%{byte:02x}" for byte in raw)
    yield every
    yield every.upper()
    for offset in range(_BASE64_BYTES):
        yield from _base64_at(raw, offset)


def _base64_at(raw: bytes, offset: int) -> Iterator[str]:
    """Give what base64 makes of a secret that begins so many bytes after a full group.

    The signs at its ends that hold bits of its neighbours too are left out.
    """
    start = -(-offset * _BITS_A_BYTE // _BITS_A_SIGN)
    stop = (offset + len(raw)) * _BITS_A_BYTE // _BITS_A_SIGN
    padded = bytes(offset) + raw
    yield base64.b64encode(padded).decode()[start:stop]
    yield base64.urlsafe_b64encode(padded).decode()[start:stop]


def _lower_quoted(text: str) -> str:
    """Write the digits after each percent sign small."""
    head, *rest = text.split("%")
    return "%".join([head, *(part[:2].lower() + part[2:] for part in rest)])
