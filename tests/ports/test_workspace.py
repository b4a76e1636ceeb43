"""The conformance suite of the ports Workspaces and Workspace, on real git repositories."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from juggernaut.adapters.forges.workspace import GitWorkspaces
from juggernaut.domain.errors import HeadMoved, InvalidInput
from juggernaut.domain.model import Sha
from juggernaut.ports import Workspaces
from tests.adapters.forges.repos import Origin, git, make_origin

BRANCH = "feature/task-1"


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """A repository with one commit."""
    return make_origin(tmp_path)


@pytest.fixture
def workspaces(tmp_path: Path) -> Workspaces:
    """Work trees below the test's folder, swept without grace."""
    return GitWorkspaces(tmp_path / "root", grace_seconds=-1.0)


async def test_open_gives_the_files_of_the_base(workspaces: Workspaces, origin: Origin) -> None:
    """A fresh tree has the default branch's files and no .git."""
    space = await workspaces.open(origin.name, BRANCH, "task-1")
    assert space.base == origin.head("main")
    assert sorted(child.name for child in space.path.iterdir()) == ["README", "app.py"]
    assert (space.path / "app.py").read_text() == "one\ntwo\nthree\n"


async def test_commit_is_measured_by_git(workspaces: Workspaces, origin: Origin) -> None:
    """A change names its files, counts its lines and has its text."""
    space = await workspaces.open(origin.name, BRANCH, "task-1")
    (space.path / "app.py").write_text("ONE\ntwo\nthree\nfour\n")
    (space.path / "README").unlink()
    (space.path / "docs").mkdir()
    (space.path / "docs/new file.txt").write_text("new\n")
    change = await space.commit("Fix it")
    assert change is not None
    assert change.files == ("README", "app.py", "docs/new file.txt")
    assert (change.added, change.removed) == (3, 2)
    assert "-one\n+ONE\n" in change.diff
    assert change.base == origin.head("main")


async def test_no_change_is_none(workspaces: Workspaces, origin: Origin) -> None:
    """Nothing, junk, ignored files, and a change that was undone are no change."""
    space = await workspaces.open(origin.name, BRANCH, "task-1")
    assert await space.commit("Nothing") is None
    for junk in ("__pycache__/app.pyc", "pkg/x.pyc", ".pytest_cache/v"):
        (space.path / junk).parent.mkdir(parents=True, exist_ok=True)
        (space.path / junk).write_bytes(b"junk")
    assert await space.commit("Junk") is None
    (space.path / "app.py").write_text("changed\n")
    assert await space.commit("Changed") is not None
    (space.path / "app.py").write_text("one\ntwo\nthree\n")
    assert await space.commit("Undone") is None


async def test_committing_again_replaces(workspaces: Workspaces, origin: Origin) -> None:
    """There is one commit on top of base, however often the attempt commits."""
    space = await workspaces.open(origin.name, BRANCH, "task-1")
    (space.path / "app.py").write_text("first try\n")
    first = await space.commit("First")
    assert await space.commit("First") == first
    (space.path / "app.py").write_text("second try\n")
    second = await space.commit("Second\n\nWith a body.")
    assert second is not None
    await space.push(second, None)
    assert origin.log(BRANCH) == [second.head, space.base]
    assert origin.show(f"{BRANCH}:app.py") == "second try"
    assert git(origin.bare, "log", "-1", "--format=%B%an <%ae>", BRANCH) == (
        "Second\n\nWith a body.\nJuggernaut <juggernaut@localhost>"
    )


async def test_push_is_compare_and_swap(workspaces: Workspaces, origin: Origin) -> None:
    """A push lands only where it was expected to; the answer of a lost one is found again."""
    space = await workspaces.open(origin.name, BRANCH, "task-1")
    (space.path / "app.py").write_text("mine\n")
    mine = await space.commit("Mine")
    assert mine is not None
    with pytest.raises(HeadMoved):
        await space.push(mine, space.base)
    await space.push(mine, None)
    await space.push(mine, None)
    other = origin.push(BRANCH, {"app.py": "theirs\n"})
    for wrong in (None, mine.head):
        with pytest.raises(HeadMoved):
            await space.push(mine, wrong)
    assert origin.head(BRANCH) == other
    await space.push(mine, other)
    assert origin.head(BRANCH) == mine.head


async def test_racing_pushes(workspaces: Workspaces, origin: Origin) -> None:
    """Of four attempts that push to a branch that is not there, one lands."""
    spaces = [await workspaces.open(origin.name, BRANCH, f"task-{n}") for n in range(4)]
    changes = []
    for number, space in enumerate(spaces):
        (space.path / "app.py").write_text(f"{number}\n")
        changes.append(await space.commit(f"Try {number}"))
    ends = await asyncio.gather(
        *(
            space.push(change, None)
            for space, change in zip(spaces, changes, strict=True)
            if change
        ),
        return_exceptions=True,
    )
    assert sorted(type(end).__name__ for end in ends) == ["HeadMoved"] * 3 + ["NoneType"]


async def test_a_new_attempt_starts_at_the_base(workspaces: Workspaces, origin: Origin) -> None:
    """What an earlier attempt pushed is not in the tree of the next one."""
    origin.push(BRANCH, {"app.py": "half done\n"})
    space = await workspaces.open(origin.name, BRANCH, "task-2")
    assert (space.path / "app.py").read_text() == "one\ntwo\nthree\n"
    assert space.base == origin.head("main")


async def test_the_base_is_fresh(workspaces: Workspaces, origin: Origin) -> None:
    """A tree starts at the head of this moment, not of the first time."""
    await workspaces.open(origin.name, BRANCH, "task-1")
    head = origin.push("main", {"app.py": "newer\n"}, start="origin/main")
    space = await workspaces.open(origin.name, BRANCH, "task-2")
    assert space.base == head
    assert (space.path / "app.py").read_text() == "newer\n"


async def test_checkout(workspaces: Workspaces, origin: Origin) -> None:
    """A checkout has exactly the files of a commit, of a branch's or the default one."""
    head = origin.push(BRANCH, {"app.py": "branch\n"})
    at_branch = await workspaces.checkout(origin.name, head, "task-1")
    at_main = await workspaces.checkout(origin.name, None, "task-1")
    assert (at_branch.path / "app.py").read_text() == "branch\n"
    assert at_branch.base == head
    assert at_main.base == origin.head("main")
    with pytest.raises(InvalidInput, match="no commit"):
        await workspaces.checkout(origin.name, Sha("ab" * 20), "task-1")


async def test_concurrent_opens(workspaces: Workspaces, origin: Origin) -> None:
    """Attempts that start together, with no mirror yet, all get their tree."""
    spaces = await asyncio.gather(
        *(workspaces.open(origin.name, f"feature/{n}", f"task-{n}") for n in range(5))
    )
    assert len({space.path for space in spaces}) == 5
    assert all((space.path / "app.py").is_file() for space in spaces)


async def test_close_and_sweep(workspaces: Workspaces, origin: Origin) -> None:
    """Closing twice is fine; a sweep leaves the trees of living attempts."""
    closed = await workspaces.open(origin.name, BRANCH, "task-1")
    await closed.close()
    await closed.close()
    assert not closed.path.exists()
    alive = await workspaces.open(origin.name, BRANCH, "task-2")
    dead = await workspaces.open(origin.name, BRANCH, "task-3")
    (dead.path / "locked").mkdir(mode=0)
    assert await workspaces.sweep(["task-2", "task-9"]) == 1
    assert alive.path.exists()
    assert not dead.path.exists()
    assert await workspaces.sweep(["task-2"]) == 0


async def test_the_default_branch_is_not_worked_on(workspaces: Workspaces, origin: Origin) -> None:
    """Work on the default branch, or without a branch, cannot be pushed."""
    with pytest.raises(InvalidInput, match="default branch"):
        await workspaces.open(origin.name, "main", "task-1")
    space = await workspaces.checkout(origin.name, None, "task-1")
    (space.path / "app.py").write_text("changed\n")
    change = await space.commit("Changed")
    assert change is not None
    with pytest.raises(InvalidInput, match="without a branch"):
        await space.push(change, None)


@pytest.mark.parametrize("attempt", ["../x", "a/b", "", ".hidden", "a\n", "x" * 200])
async def test_hostile_attempt_names(workspaces: Workspaces, origin: Origin, attempt: str) -> None:
    """An attempt's name is a plain file name."""
    with pytest.raises(InvalidInput):
        await workspaces.open(origin.name, BRANCH, attempt)


async def test_bad_repositories(workspaces: Workspaces, tmp_path: Path) -> None:
    """Each kind of wrong repository is named with what to do."""
    empty, plain, file = tmp_path / "empty", tmp_path / "plain", tmp_path / "file"
    git(tmp_path, "init", "-q", str(empty))
    plain.mkdir()
    file.write_text("text")
    for name, why in (
        (str(empty), "has no commits: commit something first"),
        (str(plain), "is not a git repository"),
        (str(file), "is not a folder"),
        (str(tmp_path / "absent"), "is not there"),
        ("relative/path", "is not an absolute path"),
        ("--upload-pack=touch /tmp/x", "is not an absolute path"),
        ("ext::sh -c id", "is not an absolute path"),
        ("", "is not an absolute path"),
    ):
        with pytest.raises(InvalidInput, match=why):
            await workspaces.open(name, BRANCH, "task-1")


async def changed(workspaces: Workspaces, origin: Origin, text: str) -> Sha:
    """Push a change of app.py as an attempt does; gives its commit."""
    space = await workspaces.open(origin.name, BRANCH, "task-1")
    (space.path / "app.py").write_text(text)
    change = await space.commit("First round")
    assert change is not None
    await space.push(change, None)
    return change.head


async def test_resume_goes_on_from_a_change(workspaces: Workspaces, origin: Origin) -> None:
    """The tree has the change; the next commit is the whole change on the same base."""
    base = origin.head("main")
    head = await changed(workspaces, origin, "ONE\ntwo\nthree\n")
    space = await workspaces.resume(origin.name, BRANCH, head, "task-1", base)
    assert (space.path / "app.py").read_text() == "ONE\ntwo\nthree\n"
    assert space.conflicts == ()
    (space.path / "more.txt").write_text("more\n")
    change = await space.commit("Second round")
    assert change is not None
    assert (change.base, change.files) == (base, ("app.py", "more.txt"))
    await space.push(change, head)
    assert origin.log(BRANCH) == [change.head, base]


async def test_resume_replays_on_a_new_base(workspaces: Workspaces, origin: Origin) -> None:
    """What applies is merged in; what does not stands there with marks and is named."""
    head = await changed(workspaces, origin, "ONE\ntwo\nthree\n")
    newer = origin.push("main", {"README": "new\n"})
    space = await workspaces.resume(origin.name, BRANCH, head, "task-1", None)
    assert (space.base, space.conflicts) == (newer, ())
    change = await space.commit("Replayed")
    assert change is not None
    assert change.files == ("app.py",)
    origin.push("main", {"app.py": "UNO\ntwo\nthree\n"}, start="origin/main")
    torn = await workspaces.resume(origin.name, BRANCH, head, "task-1", None)
    assert torn.conflicts == ("app.py",)
    text = (torn.path / "app.py").read_text()
    assert "<<<<<<<" in text
    assert "UNO" in text
