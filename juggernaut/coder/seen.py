"""Which files the model has read, and as what: it may only change what it knows.

A model that edits from memory, or over what a command has rewritten, undoes the work of others.
"""

from __future__ import annotations

import hashlib

from juggernaut.coder.paths import Parts
from juggernaut.domain.errors import InvalidInput


class Seen:
    """The files that were read or written in one execution, by the digest of their text."""

    def __init__(self) -> None:
        """Begin without any."""
        self._digests: dict[Parts, str] = {}

    def note(self, parts: Parts, text: str) -> None:
        """Note that the model knows this text of a file."""
        self._digests[parts] = _digest(text)

    def check(self, parts: Parts, text: str) -> None:
        """Raise InvalidInput unless the model knows the file as it is now."""
        known = self._digests.get(parts)
        if known == _digest(text):
            return
        name = "/".join(parts)
        why = "was not read yet" if known is None else "has changed since it was read"
        raise InvalidInput(f"{name} {why}; nothing was changed. Read {name} first, then change it")


def _digest(text: str) -> str:
    """Give the digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
