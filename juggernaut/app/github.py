"""Puts the GitHub forge together from the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from juggernaut.adapters.forges.github import GitHubForge
from juggernaut.adapters.forges.github.client import Client
from juggernaut.adapters.forges.github.names import PUBLIC_API, Place, Repo, looks_remote
from juggernaut.adapters.forges.github.remote import GitHubSource
from juggernaut.adapters.forges.github.tokens import AppKey, AppTokens, GivenToken, Tokens
from juggernaut.adapters.forges.github.wire import Wire
from juggernaut.app.settings import Settings
from juggernaut.domain.errors import ConfigError
from juggernaut.domain.redact import Secret

HOW: Final = (
    "set GITHUB_TOKEN, or GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY and GITHUB_APP_INSTALLATION_ID"
)


@dataclass(frozen=True, slots=True)
class GitHub:
    """One GitHub as a process uses it: its forge, and its repositories for git."""

    place: Place
    forge: GitHubForge
    tokens: Tokens

    def name(self, repo: str) -> str:
        """Give owner/name of a repository. Raises InvalidInput."""
        return str(self.place.repo(repo))

    def source(self, repo: str) -> GitHubSource | None:
        """Give a repository as git reaches it; None for a path on this machine."""
        if not looks_remote(repo):
            return None
        return GitHubSource(self.place, self.place.repo(repo), self.tokens)


def github_name(repo: str, settings: Settings) -> str:
    """Give owner/name of a repository. Raises ConfigError without a credential for it."""
    with opened(settings) as github:
        if github is None:
            raise ConfigError(f"{repo} is no folder here, and for GitHub: {HOW}")
        return github.name(repo)


@dataclass(frozen=True, slots=True)
class FileToken:
    """A given token whose file may be replaced."""

    now: Callable[[], Settings]
    app: bool = False

    async def of(self, repo: Repo) -> Secret:
        """Give the one of now, for whatever repository."""
        return Secret(self._value())

    def forget(self, repo: Repo, token: Secret) -> bool:
        """Say whether another one than the refused one is there."""
        return self._value() != token.reveal()

    async def login(self) -> str:
        """Say nothing: the API tells it of the token itself."""
        return ""

    def _value(self) -> str:
        """Read the setting."""
        token = self.now().github_token
        return token.get_secret_value() if token else ""


@contextmanager
def opened(
    settings: Settings, now: Callable[[], Settings] | None = None
) -> Iterator[GitHub | None]:
    """Give GitHub while the block lasts; None when no credential is configured.

    `now` gives the settings with secrets as their files have them at the moment. Nothing is asked
    yet. Raises ConfigError for half a credential, or two of them.
    """
    place = Place.of(settings.github_api_url or PUBLIC_API)
    wire = Wire(place.api)
    tokens = _tokens(settings, wire, now)
    try:
        if tokens is None:
            yield None
            return
        forge = GitHubForge(place, Client(wire, tokens), settings.pulls.merge_method)
        yield GitHub(place, forge, tokens)
    finally:
        wire.close()


def _tokens(settings: Settings, wire: Wire, now: Callable[[], Settings] | None) -> Tokens | None:
    """Choose where tokens come from."""
    key, app = settings.github_app_private_key, settings.github_app_id
    installation = settings.github_app_installation_id
    given = settings.github_token
    parts = (app, key, installation)
    if given is not None and any(part is not None for part in parts):
        raise ConfigError("GITHUB_TOKEN and GITHUB_APP_... are both set: keep one of them")
    if given is not None:
        return FileToken(now) if now else GivenToken(Secret(given.get_secret_value()))
    if app is not None and key is not None and installation is not None:

        def pem() -> str:
            """Give the key of now, with line ends."""
            # Hosts that keep one line per variable write them as two signs.
            found = (now() if now else settings).github_app_private_key or key
            return found.get_secret_value().replace("\\n", "\n")

        return AppTokens(wire, AppKey(app, Secret(pem), installation))
    if any(part is not None for part in parts):
        raise ConfigError(f"the GitHub App is named only in part: {HOW}")
    return None
