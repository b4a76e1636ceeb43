"""Exit codes and one-line errors of the real program."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from juggernaut.app.cli import build
from juggernaut.app.cli.output import with_login
from tests.app.cli_process import call, environment


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


def commands(command: Any, path: str = "juggernaut") -> Iterator[tuple[str, Any]]:
    """Give each command and family with its path."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, f"{path} {name}")


def test_each_help_has_an_example() -> None:
    """README.md says so; the example is a call of that command, or of one of its family."""
    every = dict(commands(typer.main.get_command(build())))
    del every["juggernaut"]  # its epilog names some
    assert len(every) > 40
    without = [
        path
        for path, command in every.items()
        if not re.search(rf"Example: `(?:\w+=\S+ |export \w+=\$\()*{path}\b", command.help or "")
    ]
    assert without == []


@pytest.mark.parametrize(
    "arguments", [("--version",), ("--help",), ("config",), ("config", "--json")]
)
async def test_a_full_disk_is_one_line_and_exit_code_1(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """Whether the buffer is written in the command or at its end."""
    with Path("/dev/full").open("wb") as full:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "juggernaut", *arguments),
            cwd=Path(__file__).parents[2],
            env=environment(tmp_path, {}),
            stdout=full,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
    assert process.returncode == 1
    assert err == b"juggernaut: cannot write: No space left on device\n"


async def test_help_names_the_commands_with_examples(tmp_path: Path) -> None:
    """A newcomer finds the way."""
    ended = await call(tmp_path, "--help", COLUMNS="100")
    assert ended.code == 0
    for name in ("run", "migrate", "doctor", "login", "demo"):
        assert name in ended.out
    ended = await call(tmp_path, "run", "--help", COLUMNS="100")
    assert "WORKER_TYPE=executor juggernaut run" in ended.out


@pytest.mark.parametrize(
    ("message", "who"),
    [
        ("permission denied for function set_budget", "the operator's address"),
        ("permission denied for schema public", "the operator's address"),
        ("permission denied for table governance_tasks", "of an approver"),
        ("permission denied for function pause_swarm", "of an approver"),
    ],
)
def test_a_denied_permission_names_the_login_that_has_it(message: str, who: str) -> None:
    """The database says what is missing, the line says who has it."""
    assert with_login(message).startswith(f"{message}: use ")
    assert who in with_login(message)
    assert with_login("something else") == "something else"
