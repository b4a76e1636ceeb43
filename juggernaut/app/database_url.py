"""How a database URL is told to people: without its password."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

URL_FORM = "it has the form postgresql://login:password@host:5432/database"


def describe(dsn: str) -> str:
    """Host, port and database of a URL, for messages: never the login's password."""
    try:
        parts = urlsplit(dsn)
        port = parts.port or parse_qs(parts.query).get("port", ["5432"])[0]
        host = parts.hostname or parse_qs(parts.query).get("host", [""])[0]
    except ValueError:
        return "the given address"
    # An "@" after the host means that an unescaped character cut the password in two.
    if not host or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return "the given address"
    return f"{host}:{port}{parts.path}"
