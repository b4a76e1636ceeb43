"""`juggernaut up` on somebody's checkout: real processes, an own database, a scripted model."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from juggernaut.app.demo.sample import TEST_COMMAND, script_text, write_sample

COMMAND = [sys.executable, "-m", "juggernaut"]
SCRIPT = "script.yaml"
PATIENCE_SECONDS = 90.0


def environment(folder: Path) -> dict[str, str]:
    """Give an environment without anything of the developer's: no key, no database."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    root = Path(__file__).resolve().parents[2]
    place = {"HOME": str(folder), "TMPDIR": str(folder), "PYTHONPATH": str(root)}
    return kept | place | {"PYTHONFAULTHANDLER": "1"}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with the sample as a checkout and a script; the server's user can get there."""
    folder = Path(tempfile.mkdtemp(prefix="juggernaut-flow-"))
    folder.chmod(0o711)
    asyncio.run(write_sample(folder / "checkout"))
    (folder / SCRIPT).write_text(script_text(), encoding="utf-8")
    yield folder
    shutil.rmtree(folder)


@contextmanager
def up(place: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Start `up` for the checkout; whatever the test does, it is ended."""
    argv = [*COMMAND, "up", "--repo", str(place / "checkout"), "--dir", str(place / "state")]
    argv += ["--script", str(place / SCRIPT), "--test", shlex.join(TEST_COMMAND), *more]
    with subprocess.Popen(
        argv,
        cwd="/",
        env=environment(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def read_until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Read lines until one matches."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        found = re.search(pattern, line)
        if found:
            return found
    raise AssertionError(f"{pattern!r} never came: {''.join(seen)}")


def rest_of(process: subprocess.Popen[str]) -> str:
    """Read to the end; a process that does not end says where it stands (faulthandler)."""
    stdout = process.stdout
    assert stdout is not None
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(stdout), daemon=True)
    reader.start()
    reader.join(PATIENCE_SECONDS)
    if reader.is_alive():
        process.send_signal(signal.SIGABRT)
        reader.join(PATIENCE_SECONDS)
        raise AssertionError(f"it did not end: {''.join(said)}")
    return "".join(said)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_it_is_stopped_goes_on_and_ends_with_the_goal(place: Path) -> None:
    """Ctrl-C in the middle; the same command finishes the goal after a person approved."""
    wish = ("--goal", "shorten keeps its limit", "--record", str(place / "tapes"))
    with up(place, *wish) as process:
        read_until(process, "code +in_progress")
        process.send_signal(signal.SIGINT)
        assert "goes on from here" in rest_of(process)
        assert process.wait(60) == 130
    with up(place, *wish) as process:
        command = read_until(process, r"juggernaut (approve \S+ --dsn .+)")[1]
        approved = subprocess.run(
            [*COMMAND, *shlex.split(command)],
            env=environment(place),
            capture_output=True,
            text=True,
            check=False,
        )
        assert approved.returncode == 0, approved.stderr
        take_over = read_until(process, r"take it over with: (git pull .+)")[1]
        assert "goal completed" in rest_of(process)
        assert process.wait(60) == 0
    check_replay(place)
    check_take_over(place / "checkout", take_over)


def check_replay(place: Path) -> None:
    """What the executor recorded is played again on the person's checkout, and is the same."""
    ended = [path for path in (place / "tapes").iterdir() if '"kind":"end"' in path.read_text()]
    argv = [*COMMAND, "task", "replay", str(ended[0]), "--repo", str(place / "checkout"), "--json"]
    played = subprocess.run(
        argv, env=environment(place), capture_output=True, text=True, check=False
    )
    assert played.returncode == 0, played.stdout + played.stderr
    assert json.loads(played.stdout)["verdict"] == "same"


def check_take_over(checkout: Path, command: str) -> None:
    """The person's checkout was not touched; what was merged is one `git pull` away."""
    source = (checkout / "slugs" / "text.py").read_text(encoding="utf-8")
    assert "whole_words or cut" in source
    argv = ["git", "-c", "safe.directory=*", *shlex.split(command)[1:], "--quiet"]
    subprocess.run(argv, cwd=checkout, check=True)
    source = (checkout / "slugs" / "text.py").read_text(encoding="utf-8")
    assert "slug[:limit]" in source


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--repo", "{place}/nothing", "--script", "{place}/script.yaml"], "is not there"),
        (["--repo", "{place}", "--script", "{place}/script.yaml"], "is not a git repository"),
        (["--repo", "{place}/empty", "--script", "{place}/script.yaml"], "has no commits"),
        (["--repo", "{place}/checkout"], "ANTHROPIC_API_KEY"),
        (["--repo", "{place}/checkout", "--script", "{place}/nothing"], "is not a file"),
    ],
)
def test_what_cannot_work_is_one_line(place: Path, argv: list[str], said: str) -> None:
    """Exit code 2, one line, and no database was started for it."""
    subprocess.run(["git", "init", "--quiet", str(place / "empty")], check=True)
    given = [part.format(place=place) for part in argv]
    ended = subprocess.run(
        [*COMMAND, "up", *given, "--dir", str(place / "state"), "--goal", "x"],
        env=environment(place),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert said in ended.stderr
    assert not (place / "state" / "postgres").exists()
