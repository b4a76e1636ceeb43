"""Work trees of repositories that are large, odd, shared, or left by a killed worker."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from juggernaut.adapters.forges import diffcheck
from juggernaut.adapters.forges.workspace import GitWorkspaces
from juggernaut.domain.errors import InvalidInput
from juggernaut.lifecycle.unfetched import unfetched
from tests.adapters.forges.repos import Origin, git, make_origin

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 123456789\n"
# Opens a tree as a worker would, says where, and waits to be killed.
WORKER = """
import asyncio, sys
from pathlib import Path
from juggernaut.adapters.forges.workspace import GitWorkspaces

async def main():
    spaces = GitWorkspaces(Path(sys.argv[1]))
    space = await spaces.open(sys.argv[2], "feature/dead", "dead-1")
    sys.stdout.write(str(space.path) + "\\n")
    sys.stdout.flush()
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """A repository with an LFS pointer and a submodule, which both lead nowhere."""
    origin = make_origin(
        tmp_path,
        {
            "app.py": "one\n",
            "big.bin": POINTER,
            ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
            ".gitmodules": '[submodule "lib"]\n\tpath = lib\n\turl = /nowhere/lib.git\n',
        },
    )
    entry = f"160000,{'1' * 40},lib"
    git(origin.clone, "update-index", "--add", "--cacheinfo", entry)
    git(origin.clone, "commit", "-q", "-m", "Add a submodule")
    git(origin.clone, "push", "-q", "origin", "HEAD:main")
    return origin


async def test_submodules_and_lfs_are_not_fetched(tmp_path: Path, origin: Origin) -> None:
    """The folder is empty, the pointer is text, both are named, and other files can be changed."""
    space = await GitWorkspaces(tmp_path / "root").open(origin.name, "feature/a", "a-1")
    assert not (space.path / "lib").exists() or list((space.path / "lib").iterdir()) == []
    assert (space.path / "big.bin").read_text() == POINTER
    assert [line.partition(" are ")[0] for line in unfetched(space.path)] == [
        "submodules",
        "Git LFS files",
    ]
    (space.path / "app.py").write_text("two\n")
    change = await space.commit("Two")
    assert change is not None
    assert change.files == ("app.py",)


@pytest.mark.parametrize(("bound", "most"), [("TREE_FILES", 3), ("TREE_BYTES", 100)])
async def test_a_tree_has_a_size(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    """A commit that is too large is refused before its files are written; nothing stays."""
    monkeypatch.setattr(diffcheck, bound, most)
    with pytest.raises(InvalidInput, match="keep large files out of the repository"):
        await GitWorkspaces(tmp_path / "root").open(origin.name, "feature/a", "a-1")
    assert list((tmp_path / "root/trees/a-1").iterdir()) == []


async def test_two_processes_work_on_one_repository(tmp_path: Path, origin: Origin) -> None:
    """Attempts that share a mirror and have branches of their own all land, whoever is first."""
    shared = [GitWorkspaces(tmp_path / "root"), GitWorkspaces(tmp_path / "root")]

    async def attempt(number: int) -> None:
        """Open, change, commit and push."""
        space = await shared[number % 2].open(origin.name, f"feature/{number}", f"t{number}-1")
        (space.path / "app.py").write_text(f"{number}\n")
        change = await space.commit(f"Change {number}")
        assert change is not None
        await space.push(change, None)
        await space.close()

    await asyncio.gather(*(attempt(number) for number in range(4)))
    assert [origin.show(f"feature/{number}:app.py") for number in range(4)] == list("0123")
    mirrors = list((tmp_path / "root/mirrors").glob("*.git"))
    assert len(mirrors) == 1
    assert git(mirrors[0], "fsck", "--connectivity-only", "--no-dangling") == ""


async def test_what_a_killed_worker_left_is_swept(tmp_path: Path, origin: Origin) -> None:
    """After kill -9 its tree lies there; the next process removes it, and not its own."""
    root = tmp_path / "root"
    argv = [sys.executable, "-c", WORKER, str(root), origin.name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as worker:
        assert worker.stdout is not None
        left = Path(worker.stdout.readline().strip())
        worker.kill()
    assert (left / "app.py").is_file()
    spaces = GitWorkspaces(root, grace_seconds=-1.0)
    alive = await spaces.open(origin.name, "feature/alive", "alive-1")
    assert await spaces.sweep(["alive-1"]) == 1
    assert not left.exists()
    assert alive.path.is_dir()
