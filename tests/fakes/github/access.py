"""Who asks: tokens, Apps and what they may do."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import timedelta

import jwt

from tests.fakes.github.answers import Refused, not_found
from tests.fakes.github.state import App, Repo, State, Token

TOKEN_HOURS = 1
LEVELS = {"": 0, "read": 1, "write": 2}
BAD = "Bad credentials"


@dataclass(frozen=True, slots=True)
class Caller:
    """The credential of one request; `app` when it is an App's own signature."""

    token: Token | None = None
    app: App | None = None

    @property
    def login(self) -> str:
        """Give the account that acts."""
        if self.token is None:
            raise Refused(401, "Requires authentication")
        return self.token.login

    @property
    def kind(self) -> str:
        """Give the kind of credential, for the journal."""
        return self.token.kind if self.token else "app" if self.app else "none"

    def check_known(self) -> None:
        """Refuse a request without a token."""
        if self.token is None:
            raise Refused(401, "Requires authentication")

    def check(self, repo: Repo, needs: str) -> None:
        """Refuse what the credential does not reach, in the words that GitHub has for it."""
        token = self.token
        if token is None:
            raise not_found()
        if token.repositories is not None and repo.full_name.lower() not in token.repositories:
            raise not_found()
        area, _, level = needs.partition(":")
        if token.permissions is not None:
            has = token.permissions.get(area, "read" if area == "metadata" else "")
            if LEVELS[has] < LEVELS[level]:
                who = "integration" if token.kind == "installation" else "personal access token"
                raise Refused(403, f"Resource not accessible by {who}")
        elif area == "administration" and repo.role(token.login) != "admin":
            raise not_found()
        elif level == "write" and repo.role(token.login) == "read":
            raise Refused(403, "Must have push access to the repository")


def caller(state: State, header: str | None) -> Caller:
    """Read an Authorization header; raises Refused for a credential that is not valid."""
    if not header:
        return Caller()
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "basic":
        value = _password(value)
    elif scheme.lower() not in {"bearer", "token"}:
        raise Refused(401, BAD)
    if value.count(".") == 2 and state.app:
        return Caller(app=_signed(state.app, value))
    token = state.tokens.get(value)
    if token is None or token.revoked:
        raise Refused(401, BAD)
    if token.expires_at is not None and token.expires_at <= state.now():
        raise Refused(401, BAD)
    return Caller(token)


def _password(value: str) -> str:
    """Give the token out of basic credentials: the password, or the name if that is empty."""
    try:
        name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise Refused(401, BAD) from None
    return password or name


def _signed(app: App, value: str) -> App:
    """Check the signature, the issuer and the life span of an App's own token."""
    try:
        claims = jwt.decode(value, app.public_key, algorithms=["RS256"], leeway=30)
    except jwt.PyJWTError as error:
        raise Refused(401, f"A JSON web token could not be decoded: {error}") from None
    if str(claims.get("iss")) not in {str(app.id), f"fake-client-{app.id}"}:
        raise Refused(404, "Integration not found")
    if int(claims["exp"]) - int(claims["iat"]) > 12 * 60:
        raise Refused(401, "'Expiration time' claim ('exp') is too far in the future")
    return app


def mint(
    state: State,
    app: App,
    repositories: list[str] | None,
    permissions: dict[str, str] | None,
) -> Token:
    """Make an installation token that lives for an hour, as narrow as was asked."""
    wanted = permissions or app.permissions
    for area, level in wanted.items():
        if LEVELS.get(level, 3) > LEVELS[app.permissions.get(area, "")]:
            raise Refused(422, "The permissions requested are not granted to this installation.")
    reach = None
    if repositories is not None:
        known = {repo.name.lower(): repo.full_name.lower() for repo in state.repos.values()}
        if not all(name.lower() in known for name in repositories):
            raise Refused(422, "There is at least one repository that does not exist or is not"
                               " accessible to the parent installation.")  # fmt: skip
        reach = frozenset(known[name.lower()] for name in repositories)
    token = Token(
        f"fake-installation-token-{state.next_id()}",
        "installation",
        app.login,
        reach,
        dict(wanted, metadata="read"),
        expires_at=state.now() + timedelta(hours=TOKEN_HOURS),
    )
    state.person(app.login)
    state.tokens[token.text] = token
    return token
