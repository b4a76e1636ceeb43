"""Canonical bytes and their sha256: equal values give equal digests, on any machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.model import Digest


def plain(value: object) -> object:
    """Copy a value into dicts, lists and scalars; refuses what JSON cannot hold."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InvalidInput(f"a JSON key must be text, not {type(key).__name__}")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(item) for item in value]
    raise InvalidInput(f"a value of type {type(value).__name__} has no place in JSON")


def canonical(value: object) -> bytes:
    """Give the one byte string of a JSON value: sorted keys, no spaces, UTF-8.

    Raises InvalidInput for NaN, infinities, lone surrogates, other types and bottomless depth.
    """
    try:
        text = json.dumps(
            plain(value),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )
        return text.encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the value has no canonical form: {error}") from error


def digest_of(value: object) -> Digest:
    """Give the sha256 of a JSON value's canonical bytes, in hex."""
    return Digest(hashlib.sha256(canonical(value)).hexdigest())


def text_digest(text: str) -> Digest:
    """Give the sha256 of a text; a lone surrogate counts as its escaped form."""
    return Digest(hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest())
