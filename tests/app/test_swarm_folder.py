"""Where `up` and `demo` keep their state: a folder of their own, or one line that says why not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from juggernaut.app.demo.sample import script_text, write_sample
from juggernaut.app.work_folder import SWARM_LOCK, own_swarm
from tests.app.cli_process import call

NOWHERE = "/proc/x"


async def refused(home: Path, *argv: str, **settings: str) -> str:
    """Run a command that cannot work; gives its one line."""
    ended = await call(home, *argv, **settings)
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
    return ended.err


async def up_argv(place: Path) -> list[str]:
    """Give `up` for a checkout and a script that are good."""
    await write_sample(place / "checkout")
    (place / "script.yaml").write_text(script_text(), encoding="utf-8")
    repo, script = str(place / "checkout"), str(place / "script.yaml")
    return ["up", "--goal", "x", "--repo", repo, "--script", script]


async def test_a_second_swarm_in_the_same_folder_changes_nothing(tmp_path: Path) -> None:
    """Neither `up` nor `demo` touches what the first one holds: no worker, no database."""
    state = tmp_path / "state"
    state.mkdir()
    argv = [*await up_argv(tmp_path), "--dir", str(state)]
    with own_swarm(state):
        for command in (argv, ["demo", "--dir", str(state)]):
            said = await refused(tmp_path, *command)
            assert f"works in {state} (pid {os.getpid()})" in said
            assert "--dir" in said
    assert [path.name for path in state.iterdir()] == [SWARM_LOCK]


@pytest.mark.parametrize("given", [NOWHERE, "{place}/file", "{place}/file/below"])
async def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path, given: str) -> None:
    """With the option that names another one."""
    (tmp_path / "file").write_text("")
    folder = given.format(place=tmp_path)
    for command in (await up_argv(tmp_path), ["demo"]):
        said = await refused(tmp_path, *command, "--dir", folder)
        assert f"the folder {folder} cannot be made" in said
        assert "give another --dir" in said


async def test_a_data_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    """With the setting that names another one."""
    said = await refused(tmp_path, *await up_argv(tmp_path), JUGGERNAUT_DATA_DIR=NOWHERE)
    assert f"the folder {NOWHERE}/up cannot be made" in said
    assert "set JUGGERNAUT_DATA_DIR" in said


async def test_stopping_where_nothing_is_says_so(tmp_path: Path) -> None:
    """A folder that is not there is told from one in which nothing runs, and from none given."""
    said = await refused(tmp_path, "up", "--stop", "--dir", str(tmp_path / "none"))
    assert f"there is no folder {tmp_path}/none" in said
    assert "--stop needs --dir FOLDER" in await refused(tmp_path, "up", "--stop")
    ended = await call(tmp_path, "demo", "--stop", "--dir", str(tmp_path))
    assert (ended.code, ended.out) == (0, f"nothing was running in {tmp_path}\n")
