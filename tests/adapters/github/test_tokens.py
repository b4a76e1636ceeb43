"""Tokens of an App: minted narrow, renewed in time and in the middle of an attempt; given ones."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from juggernaut.adapters.forges.github.tokens import PERMISSIONS, AppKey, AppTokens, GivenToken
from juggernaut.adapters.forges.github.wire import Wire
from juggernaut.domain.errors import ConfigError, ForgeUnauthorized
from juggernaut.domain.redact import Secret
from tests.adapters.github.conftest import BRANCH, CHECK, REPO, Bench, make_bench
from tests.fakes.github.double import APP_ID, APP_PERMISSIONS, GitHubDouble

MINT = "/app/installations/*/access_tokens"
HOUR_SECONDS = 3_600.0


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """A key of our own; making one takes a while."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def pem_of(key: rsa.RSAPrivateKey) -> str:
    """The private half, as GitHub gives it out."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


def public_of(key: rsa.RSAPrivateKey) -> str:
    """The half that GitHub keeps."""
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, kind).decode()


@pytest.fixture
def app(github_double: GitHubDouble, tmp_path: Path, key: rsa.RSAPrivateKey) -> Iterator[Bench]:
    """A forge that works as an App."""
    github_double.create(REPO)
    github_double.create("octo/other")
    known = github_double.register_app(public_of(key), permissions=dict(APP_PERMISSIONS))
    wire = Wire(github_double.url)
    mine = AppKey(str(APP_ID), Secret(pem_of(key)), known.installation_id)
    yield make_bench(github_double, tmp_path, wire, AppTokens(wire, mine))
    wire.close()


def minted(bench: Bench) -> list[tuple[frozenset[str] | None, dict[str, str] | None]]:
    """Reach and permissions of every installation token there is."""
    tokens = bench.double.state.tokens.values()
    return [(t.repositories, t.permissions) for t in tokens if t.kind == "installation"]


async def test_one_narrow_token_per_repository(
    app: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Only that repository, only these permissions, minted once, and logged by nobody."""
    caplog.set_level(logging.DEBUG)
    importlib.import_module("github")  # sets its own level
    caplog.set_level(logging.DEBUG, "github")
    for repo in (REPO, "octo/other", REPO):
        await app.forge.branch_head(repo, None)
    assert minted(app) == [(frozenset({name}), PERMISSIONS) for name in (REPO, "octo/other")]
    assert not [text for text in app.double.state.tokens if text in caplog.text]
    risky = {"administration", "workflows", "secrets", "members", "environments"}
    assert not risky & set(PERMISSIONS)


async def test_an_app_writes_check_runs(app: Bench) -> None:
    """And merges on them; its own comments are known by its name."""
    pull = await app.verified()
    view = await app.forge.look(REPO, pull.number)
    assert view is not None
    assert [check.name for check in view.checks] == [CHECK]
    assert (app.count("POST", "*/check-runs"), app.count("POST", "*/statuses/*")) == (1, 0)
    assert await app.forge.say(REPO, 1, "k", "Hi") == await app.forge.say(REPO, 1, "k", "Hi")
    assert (await app.merge(pull)).ended_by == "juggernaut[bot]"
    promises = await app.forge.promises(REPO)
    assert any("check runs" in note for note in promises.notes)


async def test_a_token_is_renewed_before_it_expires(
    app: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the time that GitHub named, minus some minutes."""
    await app.forge.branch_head(REPO, None)
    app.double.turn(HOUR_SECONDS - 200)  # not expired yet

    class Later(datetime):
        """A clock that agrees with the double's."""

        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            """Give the time at GitHub."""
            return app.double.state.now()

    monkeypatch.setattr("juggernaut.adapters.forges.github.tokens.datetime", Later)
    await app.forge.branch_head(REPO, "main")
    assert app.count("POST", MINT) == 2
    refused = [entry for entry in app.double.journal.of() if entry.status == 401]
    assert refused == []


async def test_a_token_that_expires_in_the_middle_of_an_attempt(app: Bench) -> None:
    """REST, writes and git go on with a new one; nothing is done twice."""
    space = await app.spaces.open(REPO, BRANCH, "attempt-1")
    (space.path / "app.py").write_text("new\n")
    change = await space.commit("Change app")
    assert change is not None
    app.double.turn(2 * HOUR_SECONDS)  # this machine's clock does not know
    await space.push(change, None)
    assert app.count("POST", MINT) == 2
    app.double.state.shift = timedelta()
    for token in list(app.double.state.tokens):
        app.double.revoke(token)
    pull = await app.forge.open_pull(REPO, BRANCH, "T", "B")
    assert (pull.head_sha, app.count("POST", f"/repos/{REPO}/pulls")) == (change.head, 1)
    await space.close()


async def test_an_app_without_the_permissions(app: Bench) -> None:
    """The message says what to give it, and only a person can."""
    assert app.double.state.app is not None
    app.double.state.app.permissions.pop("checks", None)
    with pytest.raises(ForgeUnauthorized, match="install the App on octo/app.*checks: write"):
        await app.forge.branch_head(REPO, None)
    with pytest.raises(ForgeUnauthorized, match="install the App on octo/none"):
        await app.forge.branch_head("octo/none", None)


async def test_a_key_that_is_none(github_double: GitHubDouble) -> None:
    """Named by its setting, without a byte of it."""
    wire = Wire(github_double.url)
    tokens = AppTokens(wire, AppKey("1", Secret("FAKE-not-a-pem"), 1))
    with pytest.raises(ConfigError, match="GITHUB_APP_PRIVATE_KEY") as caught:
        await tokens.login()
    assert "FAKE-not-a-pem" not in str(caught.value)
    wire.close()


async def test_a_given_token_that_was_revoked(bench: Bench, token: str) -> None:
    """There is no other one: a person has to act, for REST and for git."""
    bench.double.revoke(token)
    with pytest.raises(ForgeUnauthorized, match="wrong, expired or revoked"):
        await bench.forge.branch_head(REPO, None)
    assert bench.double.journal.rest_calls == 1
    with pytest.raises(ForgeUnauthorized, match="refused the token for octo/app"):
        await bench.spaces.checkout(REPO, None, "attempt-1")


async def test_a_token_that_may_only_read(github_double: GitHubDouble, tmp_path: Path) -> None:
    """The right that is missing is told as such, not as a failure to be tried again."""
    github_double.create(REPO)
    text = github_double.token(kind="fine", permissions={"contents": "read"})
    wire = Wire(github_double.url)
    poor = make_bench(github_double, tmp_path, wire, GivenToken(Secret(text)))
    sha = await poor.forge.branch_head(REPO, "main")
    assert sha is not None
    with pytest.raises(ForgeUnauthorized, match="give the token or the App the right"):
        await poor.forge.post_check(REPO, sha, CHECK, True, "passed")
    wire.close()
