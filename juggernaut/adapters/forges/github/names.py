"""Names: one GitHub by its API address, and repositories as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from juggernaut.domain.errors import ConfigError, InvalidInput

PUBLIC_API: Final = "https://api.github.com"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
SHORT: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]{0,38})/([A-Za-z0-9._-]{1,100})")
SHOWN_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository of one GitHub."""

    owner: str
    name: str

    def __str__(self) -> str:
        """Give the short form."""
        return f"{self.owner}/{self.name}"

    @property
    def path(self) -> str:
        """Give its place in the REST API."""
        return f"/repos/{self.owner}/{self.name}"


@dataclass(frozen=True, slots=True)
class Place:
    """One GitHub: where its API is, and where its git is."""

    api: str
    web: str

    @classmethod
    def of(cls, api: str = PUBLIC_API) -> Self:
        """Check an API address. Raises ConfigError when a token may not be sent there."""
        parts = urlsplit(api)
        host = parts.hostname or ""
        if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
            raise ConfigError(
                f"GITHUB_API_URL {api[:SHOWN_CHARS]!r} is not https: a token is sent nowhere else"
            )
        if not host or parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigError(
                f"GITHUB_API_URL of host {host!r} has a login or a query in it,"
                " or no host: the form is https://HOST/api/v3"
            )
        web = parts.netloc.removeprefix("api.")
        return cls(api.rstrip("/"), f"{parts.scheme}://{web}")

    def repo(self, text: str) -> Repo:
        """Read owner/name, or an address of a repository here. Raises InvalidInput."""
        short = text.strip()
        for start in (f"{self.web}/", f"git@{urlsplit(self.web).hostname}:"):
            short = short.removeprefix(start)
        short = short.rstrip("/").removesuffix(".git")
        found = SHORT.fullmatch(short)
        if found is None or found[2] in {".", ".."}:
            raise InvalidInput(
                f"repository {text[:SHOWN_CHARS]!r} is not of the form owner/name at {self.web}"
            )
        return Repo(found[1], found[2])


def looks_remote(text: str) -> bool:
    """Say whether a repository is named as GitHub names it, and not as a path on disk."""
    return bool(SHORT.fullmatch(text)) or text.startswith(("https://", "http://", "git@"))
