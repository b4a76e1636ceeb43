"""The file tools against a process that swaps folders and files for links all the time.

The tools run in the daemon, outside of any sandbox, so this is the same at every level.
Default: 300 rounds. Full: 10,000.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from juggernaut.coder import paths
from juggernaut.coder.paths import WorkTree
from juggernaut.domain.errors import InvalidInput
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials

ROUNDS = trials(300, 10_000)
LEAST = 20
MOST = 20 * ROUNDS
SECRET = "FAKE-secret-outside"
# renameat2 with RENAME_EXCHANGE: both names are there at every moment, and change places.
SWAP = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
print("swaps", flush=True)
while True:
    for one, other in ((b"folder", b"link"), (b"file", b"file-link")):
        if libc.renameat2(-100, one, -100, other, 2) != 0:
            sys.exit("needs renameat2")
"""


@contextmanager
def swapping(tree: Path) -> Iterator[None]:
    """Let another process swap as long as the block lasts."""
    command = [sys.executable, "-c", SWAP]
    with subprocess.Popen(command, cwd=tree, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"swaps\n"
            yield
            assert process.poll() is None, "the swapper has died"
        finally:
            process.kill()


@pytest.fixture
def tree(tmp_path: Path) -> WorkTree:
    """A tree with a folder and a file, each with a link out of the tree at its side."""
    root, outside = tmp_path / "tree", tmp_path / "outside"
    for folder in (root / "folder", outside):
        folder.mkdir(parents=True)
        (folder / "kept").write_text("inside")
    (outside / "kept").write_text(SECRET)
    (root / "link").symlink_to(outside)
    (root / "file").write_text("inside")
    (root / "file-link").symlink_to(outside / "kept")
    return WorkTree(root)


def check_races(tree: WorkTree) -> None:
    """Reads and writes that meet both: what is inside works, what is outside stays as it is."""
    outside = tree.root.parent / "outside"

    def read(*parts: str) -> None:
        """Read, and never what is outside."""
        assert tree.read(parts) != SECRET, f"{parts} was read outside"

    actions: tuple[Callable[[], object], ...] = (
        lambda: tree.write(("folder", "kept"), "written"),
        lambda: tree.write(("folder", "new", "deep"), "written"),
        lambda: tree.write(("file",), "written"),
        lambda: read("folder", "kept"),
        lambda: read("file"),
    )
    done = refused = rounds = 0
    with swapping(tree.root):
        while rounds < MOST and (rounds < ROUNDS or min(done, refused) < LEAST):
            if rounds % LEAST == 0:
                check_outside(outside)
            action = actions[rounds % len(actions)]
            rounds += 1
            try:
                action()
                done += 1
            except InvalidInput:
                refused += 1
    assert min(done, refused) >= LEAST, f"{done} done, {refused} refused: no race"
    check_outside(outside)


def check_outside(outside: Path) -> None:
    """Nothing is there but what was, as it was."""
    left = [entry.name for entry in outside.iterdir()]
    assert left == ["kept"], f"{left} was written outside"
    assert (outside / "kept").read_text() == SECRET, "a file outside was written"


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
def test_no_tool_leaves_the_tree(tree: WorkTree) -> None:
    """300 rounds, in full 10,000: nothing read and nothing written outside."""
    check_races(tree)


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
def test_mutant_follows_links(tree: WorkTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without O_NOFOLLOW the same race leads out."""
    monkeypatch.setattr(paths, "FOLDER", paths.FOLDER & ~os.O_NOFOLLOW)
    with pytest.raises(AssertionError, match="outside"):
        check_races(tree)
