"""What may leave: secrets are taken out of texts, and texts are made harmless to store and show."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, NoReturn, final
from urllib.parse import quote

from juggernaut.domain.limits import TEXT_CHARS

MASK: Final = "[redacted]"
SHORTEST_SECRET_CHARS: Final = 6  # a shorter one would blank half of every text

_TOKENS: Final = re.compile(
    r"""
      \bgh[opusr]_[A-Za-z0-9]{16,}
    | \bgithub_pat_[A-Za-z0-9_]{16,}
    | \bsk-[A-Za-z0-9_-]{16,}
    | \bA(?:KIA|SIA)[0-9A-Z]{16}\b
    | \bAIza[0-9A-Za-z_-]{30,}
    | \bxox[abprs]-[0-9A-Za-z-]{10,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_BEARER: Final = re.compile(r"\b([Bb]earer\s+)[A-Za-z0-9._~+/=-]{12,}")
_URL_PASSWORD: Final = re.compile(r"\b([a-z][a-z0-9+.-]{1,20}://[^\s:/@]{0,200}:)[^\s/@]{1,500}@")
_SECRET_KEY: Final = re.compile(
    r"(?:^|[_-])(?:password|passwd|secret|token|api[_-]?key|authorization|private[_-]key|dsn)$",
    re.IGNORECASE,
)
_CONTROLS: Final = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_HIDDEN: Final = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


@final
class Secret:
    """A value that does not show itself: only `reveal` gives it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap a secret."""
        self._value = value

    def reveal(self) -> str:
        """Give the secret; call it only where it is handed to a driver."""
        return self._value

    def __repr__(self) -> str:
        """Show nothing."""
        return "Secret(****)"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a copy would not hide itself."""
        raise TypeError("a Secret is not pickled")


def clean(text: str) -> str:
    """Make a text harmless to store and to show; line breaks and tabs stay."""
    text = _UNSTORABLE.sub("\ufffd", text)
    text = _CONTROLS.sub("", text)
    return _HIDDEN.sub(lambda found: f"<U+{ord(found.group()):04X}>", text)


def shorten(text: str, limit: int) -> str:
    """Cut the middle out of a text that is longer than `limit` characters, and say so."""
    if len(text) <= limit:
        return text
    note = f"\n[{len(text) - limit} characters cut]\n"
    room = limit - len(note)
    if room <= 0:
        return text[:limit]
    head = room // 3  # the end of an output says more than its start
    return text[:head] + note + text[len(text) - (room - head) :]


def scrub(text: str, secrets: Iterable[Secret] = (), limit: int = TEXT_CHARS) -> str:
    """Take secrets out of a text, by value and by token shape; clean and bound it."""
    for form in _forms(tuple(sorted({secret.reveal() for secret in secrets}))):
        text = text.replace(form, MASK)
    text = _TOKENS.sub(MASK, text)
    text = _BEARER.sub(rf"\1{MASK}", text)
    text = _URL_PASSWORD.sub(rf"\1{MASK}@", text)
    return shorten(clean(text), limit)


def scrub_json(value: object, secrets: Iterable[Secret] = (), limit: int = TEXT_CHARS) -> object:
    """Scrub every text in a JSON value; a text under a key that names a secret is masked."""
    known = tuple(secrets)
    if isinstance(value, str):
        return scrub(value, known, limit)
    if isinstance(value, Mapping):
        return {
            scrub(str(key), known): MASK
            if isinstance(item, str) and _SECRET_KEY.search(str(key))
            else scrub_json(item, known, limit)
            for key, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [scrub_json(item, known, limit) for item in value]
    return value


@lru_cache(maxsize=8)
def _forms(values: tuple[str, ...]) -> tuple[str, ...]:
    """List every form in which a secret could be written, the longest first."""
    found = {form for value in values for form in _forms_of(value)}
    return tuple(sorted(found, key=len, reverse=True))


def _forms_of(value: str) -> Iterator[str]:
    """Yield one secret plain, url-quoted, reversed, in hex and in base64."""
    if len(value) < SHORTEST_SECRET_CHARS:
        return
    raw = value.encode("utf-8", "backslashreplace")
    yield value
    yield quote(value, safe="")
    yield value[::-1]
    yield raw.hex()
    yield raw.hex().upper()
    yield base64.b64encode(raw).decode().rstrip("=")
    yield base64.urlsafe_b64encode(raw).decode().rstrip("=")
