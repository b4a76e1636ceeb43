"""A secret whose file is replaced: the next request has the new one, nothing starts again."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import asyncpg
import pytest
import structlog

from juggernaut.adapters.llm.factory import ModelSpec, build_adapter
from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.adapters.postgres.queries import UNREACHABLE
from juggernaut.app import opaque
from juggernaut.app.cli import run
from juggernaut.app.github import opened
from juggernaut.app.secret_files import LiveSettings
from juggernaut.app.setting_sources import load_settings
from juggernaut.app.settings import Settings
from juggernaut.app.up import dsn_option
from juggernaut.app.wiring import key_of
from juggernaut.domain.errors import ModelRefused
from juggernaut.domain.redact import MASK, scrub
from juggernaut.domain.secret_forms import remembered
from tests.fakes.github.double import GitHubDouble
from tests.fakes.model_requests import WIRES, ask
from tests.fakes.wire_server import Body, Seen
from tests.fixtures_postgres import Database, Login

OLD, NEW = "FAKE-old-secret-0123456789", "FAKE-new-secret-9876543210"


def live(file: Path, name: str, value: str, **more: object) -> LiveSettings:
    """Give settings of which one comes from a file."""
    file.write_text(value)
    settings = Settings.model_validate({name: value, **more})
    return LiveSettings(settings, {name: file})


def test_the_files_are_those_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a flag replaced does not come back from its file."""
    for name in ("DATABASE_URL", "OPENAI_API_KEY"):
        (tmp_path / name).write_text("postgresql://a:FAKE@b/c")
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    loaded = load_settings({"database_url": "postgresql://flag:FAKE@b/c"})
    assert loaded.files == {"openai_api_key": tmp_path / "OPENAI_API_KEY"}


def test_a_replaced_file_counts_at_once_and_a_broken_one_never(tmp_path: Path) -> None:
    """Old and new value are both scrubbed; what is no secret leaves the last good one in use."""
    file = tmp_path / "url"
    with remembered([]):
        old = "postgresql://w:FAKE-old-password@db/x"
        secrets = live(file, "worker_database_url", old)
        assert secrets.worker_dsn() == old
        for broken in ("", "no address", "x" * 100_000):
            file.write_text(broken)
            assert secrets.worker_dsn() == old
        file.unlink()
        assert secrets.worker_dsn() == secrets.listen_dsn() == old
        file.write_text("postgresql://w:FAKE-new-password@db/x\n")
        assert secrets.worker_dsn().endswith("w:FAKE-new-password@db/x")
        assert scrub("with FAKE-new-password") == f"with {MASK}"


def test_up_prints_no_address_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of its own database a person needs; DATABASE_URL is on no screen."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    url = "postgresql://op:FAKE-password@db/x"
    assert dsn_option(url, load_settings()) == f' --dsn "{url}"'
    monkeypatch.setenv("DATABASE_URL", url)
    assert dsn_option(url, load_settings()) == ""


async def test_what_a_process_logs_is_scrubbed_of_its_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever writes the line, and although nobody hands it the secrets."""
    monkeypatch.setenv("OPENROUTER_API_KEY", OLD)
    monkeypatch.setattr(opaque, "make_opaque", lambda: None)  # it is for good, and this is pytest

    async def serve(*_: object) -> None:
        """Say what nobody should, and look for it in the environment."""
        structlog.get_logger("x").warning("refused", said=f"the key {OLD} is not valid")
        assert "OPENROUTER_API_KEY" not in os.environ

    monkeypatch.setattr(run, "serve", serve)
    assert await run.work({"database_url": "postgresql://a:FAKE@127.0.0.1/c"}, True, None) == 0
    printed = capsys.readouterr().out
    assert f"the key {MASK} is not valid" in printed
    assert OLD not in printed


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
async def test_a_model_key_is_replaced_between_and_under_requests(
    provider: str, tmp_path: Path
) -> None:
    """Before a call, and while it is under way: neither call is lost; a wrong key still is."""
    file = tmp_path / "key"
    secrets = live(file, f"{provider}_api_key", OLD)

    class Turncoat(WIRES[provider]):  # type: ignore[misc, valid-type]
        """Accepts the new key only, and replaces the file while it has the second request."""

        def answer(self, seen: Seen) -> Body:
            """Replace the file once."""
            if len(self.requests) == 2:
                file.write_text(NEW)
                self.key = NEW
            reply: Body = super().answer(seen)
            return reply

    async with Turncoat() as server:
        server.key = OLD
        name = {"anthropic": "claude-haiku-5-5", "openai": "gpt-5.4-mini"}[provider]
        fresh = key_of(provider, secrets.now)
        model = build_adapter(ModelSpec(provider, name, OLD, server.url, fresh_key=fresh))
        with remembered([]):
            assert (await model.complete(ask("before"))).text == "ok"
            assert (await model.complete(ask("under way"))).text == "ok"
            assert len(server.requests) == 3
            file.write_text("no key at all\u2014")
            assert (await model.complete(ask("a file that holds no key"))).text == "ok"
            file.write_text(OLD)
            with pytest.raises(ModelRefused, match="401"):
                await model.complete(ask("a wrong key"))
            assert len(server.requests) == 5


async def test_a_github_token_is_replaced(tmp_path: Path, github_double: GitHubDouble) -> None:
    """By the file's change, and by a refusal; git asks with the new one too."""
    github_double.create("octo/app")
    old, new = github_double.token(), github_double.token()
    file = tmp_path / "token"
    secrets = live(file, "github_token", old, GITHUB_API_URL=github_double.url)
    with remembered([]), opened(secrets.now(), secrets.now) as github:
        assert github is not None
        head = await github.forge.branch_head("octo/app", None)
        github_double.revoke(old)
        source = github.source("octo/app")
        assert source is not None
        before = await source.access()
        assert not source.renew(), "there is no other token yet"
        file.write_text(new)
        assert source.renew()
        assert (await source.access()).settings != before.settings
        assert await github.forge.branch_head("octo/app", None) == head
        github_double.revoke(new)


async def test_an_app_key_is_replaced(tmp_path: Path) -> None:
    """The next token is asked for with the new key."""
    file = tmp_path / "pem"
    more = {"GITHUB_APP_ID": "4711", "GITHUB_APP_INSTALLATION_ID": "7"}
    secrets = live(file, "github_app_private_key", "FAKE\\nold", **more)
    with remembered([]), opened(secrets.now(), secrets.now) as github:
        assert github is not None
        key = github.tokens._key.private_key  # type: ignore[attr-defined]
        assert key.reveal() == "FAKE\nold"
        file.write_text("FAKE\nnewer")
        assert key.reveal() == "FAKE\nnewer"


async def test_a_database_password_is_replaced(
    tmp_path: Path, database: Database, worker_login: Login
) -> None:
    """Connections that are there live on; new ones are opened with the new password."""
    file = tmp_path / "url"
    name = worker_login.name
    secrets = live(file, "worker_database_url", database.url_for(name, worker_login.password))
    operator = await database.connect()
    with remembered([]):
        async with open_pool(secrets.worker_dsn, size=2) as pool:
            await operator.execute(f"ALTER ROLE \"{name}\" PASSWORD '{NEW}'")
            file.write_text(database.url_for(name, NEW))
            ended = await operator.fetchval(
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
                " WHERE usename = $1",
                name,
            )
            assert ended == 1
            pool_user = await again(pool)
    assert pool_user == name


async def again(pool: asyncpg.Pool[asyncpg.Record]) -> object:
    """Ask who we are; the first answers may be that the connection is gone, in any of its words."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await pool.fetchval("SELECT session_user::text")
            except UNREACHABLE:
                await asyncio.sleep(0.05)
