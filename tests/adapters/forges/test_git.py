"""The runner of git: what it lets in, how it fails, and that nothing outlives it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from juggernaut.adapters.forges.git import Access, Git, OutputTooLong, checked_branch, checked_sha
from juggernaut.adapters.forges.locking import locked
from juggernaut.domain.errors import ConfigError, ForgeError, InvalidInput
from tests.adapters.forges.repos import make_origin

PATIENCE_SECONDS = 10.0


def fake_git(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Git:
    """Put another program in git's place, which has the usual ones beside it."""
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return Git()


async def until_written(path: Path) -> int:
    """Wait until a program wrote its process id."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline, f"{path} was not written"
        await asyncio.sleep(0.01)
    return int(path.read_text())


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def until_dead(pid: int) -> None:
    """Wait until a process is gone."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        await asyncio.sleep(0.01)


async def test_nothing_is_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a user's configuration nor git's variables of the environment reach git."""
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Somebody\n[alias]\n\tx = !id\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.hooksPath=/tmp'")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "id")
    bare = make_origin(tmp_path / "repo").bare
    listed = (await Git().run("config", "--list", "--show-origin", git_dir=bare)).out.decode()
    assert "core.hookspath=/dev/null" in listed
    assert "alias.x" not in listed
    assert "Somebody" not in listed
    assert {line.split("\t")[0] for line in listed.splitlines()} == {
        "command line:",
        f"file:{bare}/config",
    }


async def test_an_error_names_command_code_and_reason(tmp_path: Path) -> None:
    """A failure is one line: subcommand, exit code, git's last line."""
    bare = make_origin(tmp_path).bare
    with pytest.raises(ForgeError) as caught:
        await Git().run("rev-parse", "--verify", "absent", git_dir=bare)
    assert str(caught.value) == "git rev-parse ended with 128: fatal: Needed a single revision"


async def test_only_the_local_transport(tmp_path: Path) -> None:
    """Other transports are closed, those that run programs too."""
    bare = make_origin(tmp_path).bare
    for address in ("ext::sh -c id", "https://example.invalid/x", "ssh://example.invalid/x"):
        with pytest.raises(ForgeError, match=r"transport '\w+' not allowed"):
            await Git().run("ls-remote", "--", address, git_dir=bare)


@pytest.mark.parametrize("said", ["git version 2.37.9", "git version 1.8", "nonsense"])
async def test_an_old_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """A git without merge-tree --write-tree is one clear line."""
    git = fake_git(tmp_path / "bin", monkeypatch, f"echo {said}")
    with pytest.raises(ConfigError, match=f"too old .{said}.: install git 2.38 or newer"):
        await git.ready()


@pytest.mark.parametrize("said", ["git version 2.38.0", "git version 3.0.1 (Some Vendor-7)"])
async def test_a_new_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """A newer one is asked once."""
    git = fake_git(tmp_path / "bin", monkeypatch, f"echo '{said}'; echo x >> {tmp_path}/calls")
    await git.ready()
    await git.ready()
    assert (tmp_path / "calls").read_text() == "x\n"


async def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git is told what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"git is not on PATH: install git 2\.38"):
        await Git().ready()


async def test_bounded_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that writes for ever is stopped at the bound."""
    git = fake_git(tmp_path / "bin", monkeypatch, f"echo $$ > {tmp_path}/pid; exec yes")
    with pytest.raises(OutputTooLong, match="more than 1000 bytes"):
        await git.run("log", max_bytes=1_000)
    await until_dead(await until_written(tmp_path / "pid"))


async def test_a_timeout_kills_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the time limit the program and its children die."""
    script = f"sleep 300 & echo $! > {tmp_path}/pid; wait"
    git = fake_git(tmp_path / "bin", monkeypatch, script)
    with pytest.raises(ForgeError, match="git fetch was stopped after 1 seconds"):
        await git.run("fetch", access=Access(timeout_seconds=0.6))
    await until_dead(await until_written(tmp_path / "pid"))


async def test_cancelling_kills_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled caller leaves no process behind, also one whose output nobody reads."""
    script = f"yes & echo $! > {tmp_path}/pid; sleep 300"
    git = fake_git(tmp_path / "bin", monkeypatch, script)
    task = asyncio.create_task(git.run("fetch", max_bytes=10**12))
    pid = await until_written(tmp_path / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_dead(pid)


async def test_cancelling_while_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the caller is cancelled during the start, the children die too."""
    script = f"sleep 300 & echo $! > {tmp_path}/$1; wait"
    git = fake_git(tmp_path / "bin", monkeypatch, script)
    for turns in range(12):
        task = asyncio.create_task(git.run(f"start{turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns == 11:
            await until_written(tmp_path / f"start{turns}")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    pids = [path.read_text() for path in tmp_path.glob("start*")]
    for pid in pids:
        if pid.strip():  # the script may have died between opening and writing the file
            await until_dead(int(pid))


async def test_a_lock_excludes(tmp_path: Path) -> None:
    """One holder at a time; the one that waits too long is told which lock."""
    inside: list[int] = []

    async def enter() -> None:
        """Hold the lock over a few turns of the loop."""
        async with locked(tmp_path / "lock"):
            inside.append(1)
            assert len(inside) == 1
            await asyncio.sleep(0)
            inside.pop()

    await asyncio.gather(*(enter() for _ in range(5)))
    async with locked(tmp_path / "lock"):
        with pytest.raises(ForgeError, match=f"{tmp_path}/lock was held"):
            async with locked(tmp_path / "lock", timeout_seconds=0.05):
                pytest.fail("two holders")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ForgeError, match="cannot be opened"):
        async with locked(tmp_path / "link"):
            pytest.fail("a link was followed")


@pytest.mark.parametrize("name", ["feature/0e8a", "main", "v1.2", "juggernaut/a_b-c"])
def test_branch_names(name: str) -> None:
    """Plain names pass."""
    assert checked_branch(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", "a..b", "a//b", "a/.b", "a.lock", "a.lock/b", "a/", "a.", "@{u}", "a" * 201]
)
def test_names_that_are_none(name: str) -> None:
    """What git would refuse, or read as something else, does not pass."""
    with pytest.raises(InvalidInput):
        checked_branch(name)


def test_commit_ids() -> None:
    """Both lengths pass; nothing else, with a newline neither."""
    assert checked_sha("a" * 40)
    assert checked_sha("0" * 64)
    for wrong in ("a" * 39, "a" * 41, "A" * 40, "a" * 40 + "\n", "g" * 40):
        with pytest.raises(InvalidInput):
            checked_sha(wrong)
