"""Exit codes and one-line errors of the real program."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.app.cli_process import call


async def test_the_version_is_told_fast(tmp_path: Path) -> None:
    """Under 0.3 s, the best of three starts."""
    best = 10.0
    for _ in range(3):
        began = time.monotonic()
        ended = await call(tmp_path, "--version")
        best = min(best, time.monotonic() - began)
    assert ended.out.startswith("juggernaut 0.")
    assert best < 0.3


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (("run",), {"WORKER_TYPE": "exekutor"}, ("WORKER_TYPE", "exekutor")),
        (("run",), {}, ("DATABASE_URL is not set",)),
        (("run",), {"DATABASE_URL": "nonsense"}, ("DATABASE_URL", "postgresql://")),
        (("run", "--config", "/absent.yaml"), {}, ("/absent.yaml",)),
        (("migrate",), {}, ("DATABASE_URL is not set",)),
        (("login", "create", "king", "x"), {"DATABASE_URL": "postgresql://h/d"}, ("king",)),
        (("login", "create", "worker", "Bad"), {"DATABASE_URL": "postgresql://h/d"}, ("Bad",)),
    ],
)
async def test_a_wrong_configuration_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], settings: dict[str, str], words: tuple[str, ...], tmp_path: Path
) -> None:
    """No traceback, nothing on standard output."""
    ended = await call(tmp_path, *arguments, **settings)
    assert ended.code == 2
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1
    for word in words:
        assert word in ended.err


async def test_a_wrong_option_is_exit_code_2(tmp_path: Path) -> None:
    """Usage errors too."""
    assert (await call(tmp_path, "run", "--nonsense")).code == 2
    assert (await call(tmp_path, "nonsense")).code == 2


async def test_an_unreachable_database_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    """`--once` does not wait for it."""
    dsn = "postgresql://op:FAKE@127.0.0.1:1/none"
    ended = await call(tmp_path, "migrate", "--dsn", dsn)
    assert ended.code == 1
    assert len(ended.err.splitlines()) == 1
    assert "FAKE" not in ended.err
    ended = await call(tmp_path, "run", "--once", "--dsn", dsn)
    assert ended.code == 1
    assert len(ended.err.splitlines()) == 1


async def test_config_explains_itself(tmp_path: Path) -> None:
    """--json gives every setting with its source, secrets masked."""
    ended = await call(
        tmp_path, "config", "--explain", "--json", OPENAI_API_KEY="FAKE-key", LOG_LEVEL="debug"
    )
    rows = {str(row["setting"]): row for row in ended.rows()}
    assert rows["log_level"]["value"] == "debug"
    assert rows["log_level"]["source"] == "environment LOG_LEVEL"
    assert rows["openai_api_key"]["value"] == "***"
    assert "FAKE" not in ended.out


async def test_help_names_the_commands_with_examples(tmp_path: Path) -> None:
    """A newcomer finds the way."""
    ended = await call(tmp_path, "--help", COLUMNS="100")
    assert ended.code == 0
    for name in ("run", "migrate", "doctor", "login", "demo"):
        assert name in ended.out
    ended = await call(tmp_path, "run", "--help", COLUMNS="100")
    assert "WORKER_TYPE=executor juggernaut run" in ended.out
