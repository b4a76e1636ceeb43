"""What may leave: secrets are taken out of texts, and texts are made harmless to store and show."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NoReturn, final

from juggernaut.domain.limits import TEXT_CHARS
from juggernaut.domain.secret_forms import forms

MASK: Final = "[redacted]"


def begun(sign: str) -> str:
    """Give a pattern for the first signs of a token, where a token may begin.

    That is at a word's start, after a line end or tab that is written out, after _ (as in
    NAME_token), and after what is left of a colour code whose first sign was cleaned away. The
    signs stand first because a fixed beginning is found ten times faster.
    """
    before = (r"(?<!\w", "(?<=_", r"(?<=\\[nrt]", r"(?<=[0-9;\[]m", r"(?<=\[[JK]")
    return f"{sign}(?:{'|'.join(f'{place}{sign})' for place in before)})"


# None of these goes beyond its line.
LINE_TOKENS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        begun("gh[opusr]_") + "[A-Za-z0-9]{16,}",
        begun("github_pat_") + "[A-Za-z0-9_]{16,}",
        begun("sk-") + "[A-Za-z0-9_-]{16,}",
        begun("A(?:KIA|SIA)") + r"[0-9A-Z]{16}\b",
        begun("AIza") + "[0-9A-Za-z_-]{30,}",
        begun("xox[abprs]-") + "[0-9A-Za-z-]{10,}",
        begun("eyJ") + r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    )
)
# Of a key whose end was cut off the rest is one: so for outputs, and never for what is approved.
_TOKENS: Final = (
    *LINE_TOKENS,
    re.compile(
        "-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\\Z)", re.DOTALL
    ),
)
# What stands before the secret is kept.
_LED: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"({begun('[Bb]earer')}\s+)[A-Za-z0-9._~+/=-]{{12,}}",
        r"([Aa]uthorization:\s*[Bb]asic\s+)[A-Za-z0-9._~+/=-]{12,}",
        r"(://[^\s:/@]{0,200}:)[^\s/@]{1,500}(?=@)",
    )
)
_SECRET_KEY: Final = re.compile(
    r"(?:^|[_-])(?:password|passwd|secret|token|api[_-]?key|authorization|private[_-]key|dsn)$",
    re.IGNORECASE,
)
# Colours, cursor moves and titles of a terminal, each as a whole.
ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)"
)
_CONTROLS: Final = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_HIDDEN: Final = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


@final
class Secret:
    """A value that does not show itself: only `reveal` gives it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str | Callable[[], str]) -> None:
        """Wrap a secret, or what gives the one of the moment."""
        self._value = value

    def reveal(self) -> str:
        """Give the secret; call it only where it is handed to a driver."""
        return self._value if isinstance(self._value, str) else self._value()

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
    found = forms(secret.reveal() for secret in secrets)
    shown = _shown(text)
    if shown != text:  # what a terminal does not show may split a secret, or be a part of one
        shown = _shown(_masked(text, found))
    text = _masked(shown, found)
    for token in _TOKENS:
        text = token.sub(MASK, text)
    for led in _LED:
        text = led.sub(rf"\1{MASK}", text)
    return shorten(text, limit)


def _shown(text: str) -> str:
    """Give a text without colours, and clean."""
    return clean(ESCAPES.sub("", text))


def _masked(text: str, found: Sequence[str]) -> str:
    """Mask every form of a secret."""
    for form in found:
        text = text.replace(form, MASK)
    return text


def mask_known(value: object, secrets: Iterable[Secret] = ()) -> object:
    """Mask known secrets in every text of a JSON value, and change nothing else."""
    found = forms(secret.reveal() for secret in secrets)

    def masked(value: object) -> object:
        """Go down one level."""
        if isinstance(value, str):
            return _masked(value, found)
        if isinstance(value, Mapping):
            return {_masked(str(key), found): masked(item) for key, item in value.items()}
        return [masked(item) for item in value] if isinstance(value, list | tuple) else value

    return masked(value)


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
