"""What the launcher refuses, works round or reports, with real servers."""

import os
import shutil
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from juggernaut.app.local_postgres import binaries, postmaster, server, start, stop
from juggernaut.app.local_postgres.identity import Identity
from juggernaut.app.local_postgres.state import places, read_state, write_state
from juggernaut.domain.errors import ConfigError
from tests.app.local_server import ask

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def full_folder(path: Path) -> Path:
    """A folder with somebody's file in it, which is returned."""
    path.mkdir()
    thesis = path / "thesis.txt"
    thesis.write_text("mine")
    return thesis


async def test_another_major_version_is_one_clear_line(pg_data_dir: Path) -> None:
    """Both versions and the way out are named."""
    await start(pg_data_dir, durable=False)
    await stop(pg_data_dir)
    (pg_data_dir / "PG_VERSION").write_text("14\n")
    with pytest.raises(ConfigError, match=r"made by PostgreSQL 14, .* PostgreSQL \d+.*: install"):
        await start(pg_data_dir, durable=False)


async def test_missing_programs_name_the_remedy(
    pg_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither wheel nor server: what to install, or what to set."""
    monkeypatch.setattr(binaries, "candidate_folders", lambda: iter(()))
    with pytest.raises(ConfigError, match=r"pip install 'juggernaut-swarm\[local\]'.*DATABASE_URL"):
        await start(pg_data_dir)


def test_programs_are_found_in_more_than_one_place() -> None:
    """A link on PATH is followed to the folder that also holds initdb."""
    for folder in binaries.candidate_folders():
        assert (folder / "initdb").exists()
        assert folder == folder.resolve()


async def test_every_installed_major_works(
    pg_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An existing data folder picks the programs of its own major."""
    folders = list(binaries.candidate_folders())
    oldest = folders[-1]
    with monkeypatch.context() as patch:
        patch.setattr(binaries, "candidate_folders", lambda: iter([oldest]))
        first = await start(pg_data_dir, durable=False)
        version = await ask(first, "SHOW server_version_num")
        await stop(pg_data_dir)
    again = await start(pg_data_dir, durable=False)
    assert await ask(again, "SHOW server_version_num") == version


async def test_a_lost_password_and_a_damaged_state_are_named(pg_data_dir: Path) -> None:
    """Neither is repaired by guessing; the remedy is in the message."""
    await start(pg_data_dir, durable=False)
    await stop(pg_data_dir)
    state = places(pg_data_dir).state
    kept = state.read_text()
    state.write_text("{")
    with pytest.raises(ConfigError, match="is damaged .*: restore it"):
        await start(pg_data_dir)
    state.unlink()
    with pytest.raises(ConfigError, match="password of the data folder .* is lost"):
        await start(pg_data_dir)
    state.write_text(kept)
    assert (await start(pg_data_dir, durable=False)).started_here


async def test_a_taken_port_is_given_up(pg_data_dir: Path) -> None:
    """A stranger on the old port is neither attached to nor waited for."""
    first = await start(pg_data_dir, durable=False)
    await stop(pg_data_dir)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", first.port))
        stranger.listen()
        second = await start(pg_data_dir, durable=False)
    assert second.port != first.port


async def test_a_port_lost_between_choice_and_start_is_chosen_again(
    pg_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race for a free port is repeated, not reported."""
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = [int(stranger.getsockname()[1])]
        honest = postmaster.free_port
        monkeypatch.setattr(
            postmaster, "free_port", lambda port: taken.pop() if taken else honest(port)
        )
        found = await start(pg_data_dir, durable=False)
        assert found.port != stranger.getsockname()[1]


async def test_another_server_on_our_port_is_not_ours(
    pg_data_dir: Path, postgres_server: str
) -> None:
    """A login that fails elsewhere means: start our own."""
    first = await start(pg_data_dir, durable=False)
    await stop(pg_data_dir)
    files = places(pg_data_dir)
    state = read_state(files.state)
    assert state is not None
    theirs = int(postgres_server.rsplit(":", 1)[1].split("/")[0])
    write_state(files.state, replace(state, port=theirs))
    assert await stop(pg_data_dir) is False
    second = await start(pg_data_dir, durable=False)
    assert second.port != theirs
    assert second.password == first.password


async def test_a_server_that_cannot_start_shows_its_log(pg_data_dir: Path) -> None:
    """The reason is in the one line, with the path of the rest."""
    await start(pg_data_dir, durable=False)
    await stop(pg_data_dir)
    with (pg_data_dir / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = on\n")
    with pytest.raises(ConfigError, match=r"ended: .*no_such_setting.*log: .*pgdata\.log") as error:
        await start(pg_data_dir, durable=False)
    assert "\n" not in str(error.value)


async def test_a_server_that_does_not_answer_runs_into_the_time_limit(
    pg_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen postmaster is reported, not waited for without end, and not doubled."""
    found = await start(pg_data_dir, durable=False)
    monkeypatch.setattr(server, "START_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr("juggernaut.app.local_postgres.probe.PROBE_TIMEOUT_SECONDS", 0.2)
    pid = postmaster.recorded_pid(found.data_dir)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(ConfigError, match=f"PID {pid}, port {found.port}.* lives but gave no"):
            await start(pg_data_dir, durable=False)
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_an_empty_folder_is_used_and_a_full_one_is_refused(pg_data_dir: Path) -> None:
    """Nobody's files are overwritten."""
    thesis = full_folder(pg_data_dir)
    with pytest.raises(ConfigError, match="must be absent or an empty folder"):
        await start(pg_data_dir, durable=False)
    assert thesis.read_text() == "mine"
    thesis.unlink()
    assert (await start(pg_data_dir, durable=False)).data_dir == pg_data_dir


async def test_leftovers_of_a_killed_initdb_are_cleared(pg_data_dir: Path) -> None:
    """A start that died half-way leaves nothing that the next one trusts."""
    half = pg_data_dir.with_name("pgdata.new-killed")
    half.mkdir()
    (half / "PG_VERSION").write_text("18")
    pg_data_dir.with_name("pgdata.pw-killed").write_text("old")
    await start(pg_data_dir, durable=False)
    left = {path.name for path in pg_data_dir.parent.iterdir()}
    assert left == {"pgdata", "pgdata.lock", "pgdata.log", "pgdata.server.json"}


@needs_root
async def test_a_private_parent_moves_the_data_and_says_so(
    pg_data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Under a 0700 folder of root the server keeps its data elsewhere; no mode is changed."""
    private = pg_data_dir.parent / "private"
    private.mkdir(mode=0o700)
    elsewhere = pg_data_dir.parent / "elsewhere"
    elsewhere.mkdir(mode=0o711)
    monkeypatch.setattr(server, "private_folder", lambda _: elsewhere)
    asked = private / "deep" / "pgdata"
    found = await start(asked, durable=False)
    try:
        assert found.data_dir == elsewhere / "pgdata"
        assert str(found.data_dir) in caplog.text
        assert private.stat().st_mode & 0o777 == 0o700
        assert (await start(asked, durable=False)).started_here is False
    finally:
        assert await stop(asked)


@needs_root
@pytest.mark.timeout(60)
async def test_unreadable_programs_are_copied_and_said_so(
    pg_data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A virtual environment under a private home still works for root."""
    package = next(binaries.candidate_folders()).parents[1]
    private = pg_data_dir.parent / "private"
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, private / folder.name, symlinks=True)
    install = private / package.name / "pginstall"
    private.chmod(0o700)
    cache = pg_data_dir.parent / "cache"
    cache.mkdir(mode=0o711)
    monkeypatch.setattr(binaries, "candidate_folders", lambda: iter([install / "bin"]))
    monkeypatch.setattr(binaries, "private_folder", lambda _: cache)
    found = await start(pg_data_dir, durable=False)
    assert "copying" in caplog.text
    assert await ask(found, "SELECT 1") == 1
    caplog.clear()
    await stop(pg_data_dir)
    await start(pg_data_dir, durable=False)
    assert "copying" not in caplog.text


@needs_root
async def test_a_data_folder_of_root_is_refused(pg_data_dir: Path) -> None:
    """PostgreSQL would not start on it; the message says what to do."""
    full_folder(pg_data_dir).with_name("PG_VERSION").write_text("18\n")
    with pytest.raises(ConfigError, match="belongs to root.*chown"):
        await start(pg_data_dir)


def test_an_identity_that_cannot_be_taken_is_told(tmp_path: Path) -> None:
    """A program that cannot be started is an answer, not a traceback."""
    ourselves = Identity(os.geteuid(), os.getegid(), dropped=False)
    assert ourselves.run([str(tmp_path / "nothing")]).returncode == 126
    assert ourselves.can_enter(tmp_path)
    assert not ourselves.can_enter(tmp_path / "nothing")
