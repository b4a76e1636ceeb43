"""The benches of GitHub: the adapter at the double, with a token or as an App."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from juggernaut.adapters.forges.github import GitHubForge
from juggernaut.adapters.forges.github.client import Client
from juggernaut.adapters.forges.github.names import Place
from juggernaut.adapters.forges.github.tokens import AppKey, AppTokens, GivenToken, Tokens
from juggernaut.adapters.forges.github.wire import Wire
from juggernaut.domain.model import Sha
from juggernaut.domain.redact import Secret
from tests.adapters.forges.repos import Origin
from tests.fakes.github.double import APP_ID, GitHubDouble
from tests.ports.forge_bench import Bench

REPO = "octo/app"


@dataclass(frozen=True, slots=True)
class GitHubPeople:
    """People at the double."""

    double: GitHubDouble
    ann: str = "ann"
    bob: str = "bob"

    async def comment(
        self, number: int, text: str, path: str = "", line: int | None = None
    ) -> None:
        """Let Ann say something below a pull request, or about a line of it."""
        if line is None:
            self.double.human.comment(REPO, number, text, self.ann)
        else:
            self.double.human.remark(REPO, number, path, line, text, self.ann)

    async def review(self, number: int, verdict: str, text: str = "", login: str = "") -> int:
        """Review it."""
        return self.double.human.review(REPO, number, verdict, login or self.ann, text)

    async def dismiss(self, number: int, review: int) -> None:
        """Take a review back."""
        self.double.human.dismiss(REPO, number, review)

    async def check(self, sha: Sha, name: str, passed: bool, log: str = "") -> None:
        """Let a CI job end at a commit."""
        conclusion = "success" if passed else "failure"
        self.double.human.set_check(REPO, sha, name, conclusion, log or None)

    async def require(self, checks: tuple[str, ...], approvals: int = 0) -> None:
        """Protect the default branch."""
        self.double.human.protect(REPO, checks=checks, approvals=approvals)

    async def close(self, number: int) -> None:
        """Let Ann close it without a merge."""
        self.double.human.close(REPO, number, self.ann)


def with_token(double: GitHubDouble, origin: Origin) -> Iterator[Bench]:
    """Give a bench for a machine user's token."""
    yield from _serve(double, origin, GivenToken(Secret(double.token())))


def as_app(double: GitHubDouble, origin: Origin) -> Iterator[Bench]:
    """Give a bench for an App that is installed on the repository."""
    private, public = app_key()
    app = double.register_app(public)
    wire = Wire(double.enterprise_url)
    tokens = AppTokens(wire, AppKey(str(APP_ID), Secret(private), app.installation_id))
    yield from _serve(double, origin, tokens)
    wire.close()


def _serve(double: GitHubDouble, origin: Origin, tokens: Tokens) -> Iterator[Bench]:
    """Serve a repository and give the adapter at it, without the pause between writes."""
    double.host(REPO, origin.bare)
    client = Client(Wire(double.enterprise_url), tokens, write_pause_seconds=0)
    forge = GitHubForge(Place.of(double.enterprise_url), client)
    try:
        yield Bench(forge, origin, REPO, GitHubPeople(double))
    finally:
        forge.close()


@cache
def app_key() -> tuple[str, str]:
    """Make the key of an App, once: private and public part."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()
