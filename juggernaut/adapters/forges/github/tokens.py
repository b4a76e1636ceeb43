"""Tokens: one that was given, or the short-lived ones of an App, each for a single repository."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from juggernaut.adapters.forges.github.failures import FORBIDDEN, UNPROCESSABLE, Refused, failure
from juggernaut.adapters.forges.github.names import Repo
from juggernaut.adapters.forges.github.reading import field, moment, text
from juggernaut.adapters.forges.github.wire import Credential, Wire
from juggernaut.domain.errors import ConfigError, ForgeError, ForgeUnauthorized, InvalidInput
from juggernaut.domain.limits import TOKEN_REFRESH_SECONDS
from juggernaut.domain.redact import Secret

CREATED: Final = 201
# The least that the life of a pull request needs. Workflows, settings and administration are not
# in it, so no token can weaken the rules that hold it.
PERMISSIONS: Final = {
    "actions": "read",
    "checks": "write",
    "contents": "write",
    "issues": "read",
    "metadata": "read",
    "pull_requests": "write",
    "statuses": "write",
}


class Tokens(Protocol):
    """Where the token of a repository comes from."""

    @property
    def app(self) -> bool:
        """Say whether they are an App's."""
        ...

    async def of(self, repo: Repo) -> Secret:
        """Give a token that is good for a while."""
        ...

    def forget(self, repo: Repo, token: Secret) -> bool:
        """Throw a refused token away; False when there can be no other one."""
        ...

    async def login(self) -> str:
        """Give the login under which an App writes; empty where another request has to tell."""
        ...


@dataclass(frozen=True, slots=True)
class GivenToken:
    """A token from the settings: a person's, or a machine user's."""

    token: Secret
    app: bool = False

    async def of(self, repo: Repo) -> Secret:
        """Give it, for whatever repository."""
        return self.token

    def forget(self, repo: Repo, token: Secret) -> bool:
        """Say that there is no other one."""
        return False

    async def login(self) -> str:
        """Say nothing: the API tells it of the token itself."""
        return ""


@dataclass(frozen=True, slots=True)
class AppKey:
    """An App and its installation, as the settings name them."""

    app_id: str
    private_key: Secret
    installation_id: int


class AppTokens:
    """Installation tokens: scoped to one repository, renewed before they expire."""

    app = True

    def __init__(self, wire: Wire, key: AppKey) -> None:
        """Mint nothing yet."""
        self._wire = wire
        self._key = key
        self._kept: dict[Repo, tuple[Secret, datetime]] = {}
        self._minting = asyncio.Lock()
        self._login: str | None = None

    async def of(self, repo: Repo) -> Secret:
        """Give the kept token while it is good for some minutes yet, else a new one."""
        async with self._minting:
            token, until = self._kept.get(repo, (None, datetime.min.replace(tzinfo=UTC)))
            left = (until - datetime.now(UTC)).total_seconds()
            if token is None or left < TOKEN_REFRESH_SECONDS:
                token, until = await self._mint(repo)
                self._kept[repo] = (token, until)
            return token

    def forget(self, repo: Repo, token: Secret) -> bool:
        """Throw a refused token away; another one can be had."""
        kept = self._kept.get(repo)
        if kept is not None and kept[0] is token:
            del self._kept[repo]
        return True

    async def login(self) -> str:
        """Ask once what the App is called; its comments carry that name."""
        if self._login is None:
            reply = await self._wire.send(self._signed(), "GET", "/app")
            slug = text(reply.data, "slug")
            self._login = f"{slug}[bot]" if slug else ""
        return self._login

    async def _mint(self, repo: Repo) -> tuple[Secret, datetime]:
        """Ask for a token of this repository alone, with the least permissions."""
        path = f"/app/installations/{self._key.installation_id}/access_tokens"
        body = {"repositories": [repo.name], "permissions": PERMISSIONS}
        reply = await self._wire.send(self._signed(), "POST", path, body=body)
        token = field(reply.data, "token")
        if reply.status == CREATED and isinstance(token, str) and token:
            return Secret(token), moment(reply.data, "expires_at")
        raise _not_minted(failure("POST", path, reply), repo)

    def _signed(self) -> Credential:
        """Sign for the App itself, for some minutes."""
        from github.Auth import AppAuth
        from jwt.exceptions import PyJWTError

        try:
            signed = AppAuth(self._key.app_id, self._key.private_key.reveal()).create_jwt()
        except (PyJWTError, ValueError):
            raise ConfigError(
                "GITHUB_APP_PRIVATE_KEY is not a private key in PEM form:"
                " download one from the App's page"
            ) from None
        return Credential(Secret(signed), signed=True)


def _not_minted(error: ForgeError | InvalidInput, repo: Repo) -> ForgeError | InvalidInput:
    """Say what to do when GitHub gives no token."""
    if isinstance(error, Refused) and error.status in (UNPROCESSABLE, FORBIDDEN):
        wanted = ", ".join(f"{name}: {right}" for name, right in PERMISSIONS.items())
        return ForgeUnauthorized(f"{error}; install the App on {repo}, and give it {wanted}")
    if isinstance(error, Refused):
        return ForgeUnauthorized(f"{error}; check GITHUB_APP_INSTALLATION_ID and {repo}")
    return error
