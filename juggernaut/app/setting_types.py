"""The types of settings that need more than pydantic's own: addresses, lists, slots."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

URL_FORM: Final = "the form is postgresql://login:password@host:5432/database"
SCHEMES: Final = frozenset({"postgresql", "postgres"})
MASK: Final = "***"
SLOTS_MAX: Final = 1_000
# To the last "@": an unescaped character in a password must not cut it in two.
LOGIN: Final = re.compile(r"(?P<scheme>\w+)://(?P<user>[^\s/?#@:]*)(?P<password>:\S*)?@")


def check_dsn(secret: SecretStr) -> SecretStr:
    """Refuse what cannot be a PostgreSQL address; the message never repeats it."""
    text = secret.get_secret_value()
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"is not an address with a valid host and port; {URL_FORM}") from None
    if parts.scheme not in SCHEMES:
        raise ValueError(f"does not begin with postgresql://; {URL_FORM}")
    if port == 0 or any(sign.isspace() for sign in text):
        raise ValueError(f"has a space or port 0 in it; {URL_FORM}")
    return secret


def login_of(address: SecretStr) -> str:
    """Give the login of an address, wherever it stands; empty where it names none."""
    parts = urlsplit(address.get_secret_value())
    return unquote(parts.username or dict(parse_qsl(parts.query)).get("user", ""))


def mask_dsn(text: str) -> str:
    """Give an address without its password, wherever it stands."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return MASK
    login = f"{parts.username}:{MASK}@" if parts.password else _login(parts)
    place = (parts.hostname or "") + (f":{port}" if port else "")
    query = [
        (key, MASK if "pass" in key else value)
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    return urlunsplit((parts.scheme, login + place, parts.path, urlencode(query, safe="*/"), ""))


def _login(parts: SplitResult) -> str:
    """Give the login of an address that has no password."""
    return f"{parts.username}@" if parts.username else ""


def masked(text: str) -> str:
    """Give a text without the passwords of the addresses in it.

    >>> masked("https://u:secret@models.example/v1")
    'https://u:***@models.example/v1'
    """
    return LOGIN.sub(_without_password, text)


def _without_password(found: re.Match[str]) -> str:
    """Give the login of an address; what stands alone before a web address is often a token."""
    scheme, user = found["scheme"], found["user"]
    if found["password"] is not None:
        return f"{scheme}://{user}:{MASK}@"
    return f"{scheme}://{MASK if scheme.startswith('http') else user}@"


def expanded(path: Path) -> Path:
    """Give a path with the home folder for its `~`, as a shell would."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"cannot be expanded: {error}") from None


def split_names(value: object) -> object:
    """Take `a, b` as a list of names."""
    if isinstance(value, str):
        return tuple(name.strip().lower() for name in value.split(",") if name.strip())
    return value


def check_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse an empty list; a name that stands twice counts once."""
    if not names:
        raise ValueError("names nothing")
    return tuple(dict.fromkeys(names))


def split_words(value: object) -> object:
    """Take a command line as its words, as a shell would split it (but no shell runs it)."""
    if not isinstance(value, str):
        return value
    try:
        words = tuple(shlex.split(value))
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from None
    if not words:
        raise ValueError("names no command")
    return words


def split_slots(value: object) -> object:
    """Take `executor=4,analyst=1` as a mapping."""
    if not isinstance(value, str):
        return value
    slots: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in value.split(","))):
        role, sign, number = part.partition("=")
        if not sign:
            raise ValueError("has a part without '='; the form is executor=4,analyst=1")
        slots[role.strip().lower()] = number.strip()
    return slots


def check_slots(slots: Mapping[str, int]) -> Mapping[str, int]:
    """Refuse a number of slots that makes no sense."""
    for role, number in slots.items():
        if not 1 <= number <= SLOTS_MAX:
            raise ValueError(f"gives {role} {number} slots; use 1 to {SLOTS_MAX}")
    return slots


Dsn = Annotated[SecretStr, AfterValidator(check_dsn)]
Names = Annotated[tuple[str, ...], BeforeValidator(split_names), AfterValidator(check_names)]
Place = Annotated[Path, AfterValidator(expanded)]
Words = Annotated[tuple[str, ...], BeforeValidator(split_words)]
Slots = Annotated[Mapping[str, int], BeforeValidator(split_slots), AfterValidator(check_slots)]
