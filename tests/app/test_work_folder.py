"""Each process has work trees of its own; a dead one's folder is taken over."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from juggernaut.app.work_folder import SWARM_LOCK, make_folder, own_folder, own_swarm
from juggernaut.domain.errors import ConfigError


def test_two_holders_never_share_and_a_free_one_is_reused(tmp_path: Path) -> None:
    """The lock decides, not what lies there."""
    with own_folder(tmp_path) as first:
        with own_folder(tmp_path) as second:
            assert first != second
            (second / "left").write_text("behind")
        with own_folder(tmp_path) as third:
            assert third == second
            assert (third / "left").exists()
    with own_folder(tmp_path) as again:
        assert again == first


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """With the setting that moves it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="JUGGERNAUT_DATA_DIR"):
        make_folder(tmp_path / "file" / "below")


def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """`run` ends with one line where its work trees cannot be."""
    (tmp_path / "process-0.lock").mkdir()
    said = f"cannot write {tmp_path}/process-0.lock: .*JUGGERNAUT_DATA_DIR"
    with pytest.raises(ConfigError, match=said), own_folder(tmp_path):
        raise AssertionError("nobody can hold it")


def test_one_swarm_a_folder(tmp_path: Path) -> None:
    """The second is told who works there; afterwards the folder is free again."""
    (tmp_path / SWARM_LOCK).write_text("the number of an earlier one\n")
    said = re.escape(f"works in {tmp_path} (pid {os.getpid()}): stop it, or give another --dir")
    with own_swarm(tmp_path), pytest.raises(ConfigError, match=said), own_swarm(tmp_path):
        raise AssertionError("two hold it")
    with own_swarm(tmp_path):
        pass


def test_a_killed_swarm_frees_its_folder_though_its_children_live(tmp_path: Path) -> None:
    """What it started, or what `--keep` leaves running, does not hold the folder."""
    code = (
        "import pathlib, subprocess, sys, time\n"
        "from juggernaut.app.work_folder import own_swarm\n"
        "with own_swarm(pathlib.Path(sys.argv[1])):\n"
        "    child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL)\n"
        "    print(child.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        try:
            with pytest.raises(ConfigError, match=f"pid {holder.pid}"), own_swarm(tmp_path):
                raise AssertionError("two hold it")
            holder.kill()
            holder.wait()
            with own_swarm(tmp_path):
                os.kill(child, 0)
        finally:
            holder.kill()
            os.kill(child, 9)
