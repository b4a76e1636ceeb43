"""The key of a provider: checked once, and replaced while the process runs."""

from __future__ import annotations

from collections.abc import Callable


def fit(key: str) -> bool:
    """Say whether a text can be a key in a header."""
    return bool(key) and key.isascii() and key.isprintable() and " " not in key


class LiveKey:
    """The key that counts at this moment; a new one that cannot be a key is not taken."""

    def __init__(self, first: str, fresh: Callable[[], str] | None) -> None:
        """Begin with a key; `fresh` gives the one of now."""
        self._last = first
        self._fresh = fresh

    def now(self) -> str:
        """Give the key."""
        if self._fresh is not None:
            found = self._fresh().strip()
            if fit(found):
                self._last = found
        return self._last
