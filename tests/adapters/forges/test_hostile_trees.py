"""What an agent may leave in a work tree, and what must become of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from juggernaut.adapters.forges.workspace import GitWorkspace, GitWorkspaces
from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.limits import DIFF_BYTES, DIFF_FILES, EDIT_FILE_BYTES
from tests.adapters.forges.repos import Origin, git, make_origin, write

BRANCH = "feature/task-1"


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """A repository with a few files."""
    files = {"app.py": "one\n", "src/lib.py": "lib\n", ".gitignore": "build/\n"}
    return make_origin(tmp_path, files)


@pytest.fixture
async def space(tmp_path: Path, origin: Origin) -> GitWorkspace:
    """An open work tree."""
    return await GitWorkspaces(tmp_path / "root").open(origin.name, BRANCH, "task-1")


def arm(git_dir: Path, marker: Path) -> None:
    """Fill a git directory with everything that git would run, each touching the marker."""
    script = git_dir / "evil"
    script.write_text(f"#!/bin/sh\necho ran >> {marker}\ncat\n")
    script.chmod(0o755)
    (git_dir / "hooks").mkdir(exist_ok=True)
    for hook in ("pre-commit", "post-index-change", "reference-transaction", "pre-push"):
        shutil.copy(script, git_dir / "hooks" / hook)
    with (git_dir / "config").open("a") as config:
        config.write(
            f"[core]\n\tfsmonitor = {script}\n\thooksPath = {git_dir}/hooks\n"
            f"\tsshCommand = {script}\n\tpager = {script}\n\teditor = {script}\n"
            f'[filter "evil"]\n\tclean = {script}\n\tsmudge = {script}\n\trequired = true\n'
            f'[diff]\n\texternal = {script}\n[diff "evil"]\n\ttextconv = {script}\n'
            f'[merge "evil"]\n\tdriver = {script}\n[gpg]\n\tprogram = {script}\n'
            f"[commit]\n\tgpgSign = true\n[credential]\n\thelper = {script}\n"
            f"[alias]\n\tadd = !{script}\n\tpush = !{script}\n"
        )


async def test_a_git_folder_in_the_tree_is_never_obeyed(
    space: GitWorkspace, origin: Origin, tmp_path: Path
) -> None:
    """Configuration, filters and hooks of a `.git` that the agent made run nothing."""
    marker = tmp_path / "marker"
    git(space.path, "init", "-q", ".")
    arm(space.path / ".git", marker)
    write(space.path, {".gitattributes": "* filter=evil diff=evil merge=evil\n", "app.py": "2\n"})
    change = await space.commit("Change")
    assert change is not None
    await space.push(change, None)
    assert not marker.exists()
    assert change.files == (".gitattributes", "app.py")
    assert origin.show(f"{BRANCH}:app.py") == "2"
    git(space.path, "-c", "alias.add=", "add", "--all")
    assert marker.exists(), "the trap is not armed: this test would pass for any git"


async def test_a_pointer_to_an_armed_repository(space: GitWorkspace, tmp_path: Path) -> None:
    """A `.git` link or a `.git` file that points elsewhere is not followed."""
    marker, trap = tmp_path / "marker", tmp_path / "trap"
    git(tmp_path, "init", "-q", str(trap))
    arm(trap / ".git", marker)
    write(space.path, {".gitattributes": "* filter=evil\n", "app.py": "2\n"})
    (space.path / ".git").symlink_to(trap / ".git")
    first = await space.commit("Link")
    (space.path / ".git").unlink()
    (space.path / ".git").write_text(f"gitdir: {trap}/.git\n")
    second = await space.commit("Pointer")
    assert first is not None
    assert second is not None
    assert first.files == second.files == (".gitattributes", "app.py")
    assert not marker.exists()


async def test_hooks_of_the_target_do_not_run(
    space: GitWorkspace, origin: Origin, tmp_path: Path
) -> None:
    """A push runs nothing of the repository that it goes to."""
    marker = tmp_path / "marker"
    for hook in ("pre-receive", "update", "post-receive", "post-update", "reference-transaction"):
        script = origin.bare / "hooks" / hook
        script.write_text(f"#!/bin/sh\necho {hook} >> {marker}\n")
        script.chmod(0o755)
    write(space.path, {"app.py": "2\n"})
    change = await space.commit("Change")
    assert change is not None
    await space.push(change, None)
    assert not marker.exists()


async def test_no_attribute_hides_a_hunk(space: GitWorkspace) -> None:
    """The diff shows a text file as text, whatever the change's .gitattributes says."""
    write(space.path, {".gitattributes": "*.py -diff\n*.py binary\n", "app.py": "backdoor\n"})
    change = await space.commit("Change")
    assert change is not None
    assert "+backdoor" in change.diff


@pytest.mark.parametrize(
    "path",
    [
        ".GIT/config",
        "src/.Git/hooks/pre-commit",
        "git~1/config",
        ".git./config",
        ".git /config",
        ".g\u200cit/config",
        ".git::$INDEX_ALLOCATION/config",
        "src\\.git\\config",
        "\uff0egit/config",
        ".gitmodules",
        ".GITMODULES",
        "two\nlines",
        "esc\x1b[31m",
    ],
)
async def test_refused_paths(space: GitWorkspace, path: str) -> None:
    """A path that some system takes for git's own, or that hides, is refused by name."""
    write(space.path, {path: "x\n"})
    with pytest.raises(InvalidInput, match="path"):
        await space.commit("Change")


async def test_a_path_that_is_not_text(space: GitWorkspace) -> None:
    """A path that is not UTF-8 is refused."""
    (Path(os.fsdecode(os.fsencode(space.path) + b"/\xff\xfe"))).write_text("x")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        await space.commit("Change")


@pytest.mark.parametrize("with_commit", [True, False])
async def test_a_nested_repository(space: GitWorkspace, with_commit: bool) -> None:
    """A repository inside the tree is refused, and ignored where .gitignore says so."""
    nested = space.path / "vendor"
    git(space.path, "init", "-q", str(nested))
    write(nested, {"file": "x\n"})
    if with_commit:
        git(nested, "add", "--all")
        git(nested, "commit", "-q", "-m", "Nested")
    with pytest.raises(InvalidInput, match=r"vendor/? is a repository of its own"):
        await space.commit("Change")
    (space.path / "build").mkdir()
    nested.rename(space.path / "build" / "vendor")
    assert await space.commit("Nothing left") is None


async def test_a_git_folder_below_tracked_files(space: GitWorkspace) -> None:
    """`git init` in a folder with tracked files hides nothing and adds nothing."""
    git(space.path, "init", "-q", "src")
    write(space.path, {"src/lib.py": "changed\n"})
    change = await space.commit("Change")
    assert change is not None
    assert change.files == ("src/lib.py",)


async def test_submodules_of_the_base(tmp_path: Path, origin: Origin) -> None:
    """A submodule that is there already stays; removing or moving it is refused."""
    sha = git(origin.clone, "rev-parse", "HEAD")
    git(origin.clone, "update-index", "--add", "--cacheinfo", f"160000,{sha},sub")
    git(origin.clone, "commit", "-q", "-m", "Submodule")
    git(origin.clone, "push", "-q", "origin", "main")
    space = await GitWorkspaces(tmp_path / "root").open(origin.name, BRANCH, "task-1")
    write(space.path, {"app.py": "2\n"})
    change = await space.commit("Change")
    assert change is not None
    assert change.files == ("app.py",)
    (space.path / "sub").rmdir()
    with pytest.raises(InvalidInput, match="sub is a submodule"):
        await space.commit("Change")


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("link", "/etc/passwd"),
        ("link", ".."),
        ("link", "../../outside"),
        ("src/link", "../../outside"),
        ("link", "src/../../outside"),
        ("link", "src/../app.py"),
        ("link", ".git/config"),
        ("link", "src/.GIT"),
    ],
)
async def test_links_that_leave(space: GitWorkspace, path: str, target: str) -> None:
    """A link out of the tree, into git's own folder, or that could turn out to be one."""
    (space.path / path).symlink_to(target)
    with pytest.raises(InvalidInput, match=r"link|git's own"):
        await space.commit("Change")


async def test_links_that_stay(space: GitWorkspace) -> None:
    """Links inside the tree, dangling ones too, are part of a change."""
    (space.path / "to_file").symlink_to("app.py")
    (space.path / "src/up").symlink_to("../app.py")
    (space.path / "src/dangling").symlink_to("./later")
    change = await space.commit("Links")
    assert change is not None
    assert len(change.files) == 3


async def test_kinds_that_change(space: GitWorkspace) -> None:
    """A folder that became a file or a link, and a file that became a folder, are committed."""
    shutil.rmtree(space.path / "src")
    (space.path / "src").symlink_to("app.py")
    first = await space.commit("Folder to link")
    assert first is not None
    assert first.files == ("src", "src/lib.py")
    (space.path / "app.py").unlink()
    write(space.path, {"app.py/deep": "x\n"})
    second = await space.commit("File to folder")
    assert second is not None
    assert "app.py/deep" in second.files


async def test_a_pipe_in_place_of_a_file(space: GitWorkspace) -> None:
    """A named pipe that would block its reader is refused without being opened."""
    (space.path / "app.py").unlink()
    os.mkfifo(space.path / "app.py")
    with pytest.raises(InvalidInput, match="neither a file nor a link"):
        await space.commit("Change")


async def test_too_many_files(space: GitWorkspace) -> None:
    """Ten thousand files are refused before one of them is read; a repair goes on."""
    (space.path / "many").mkdir()
    for number in range(10_000):
        (space.path / "many" / str(number)).touch()
    with pytest.raises(InvalidInput, match=f"10000 files .at most {DIFF_FILES}"):
        await space.commit("Change")
    shutil.rmtree(space.path / "many")
    write(space.path, {"app.py": "2\n"})
    change = await space.commit("Change")
    assert change is not None
    assert change.files == ("app.py",)


async def test_many_files_in_small_steps(space: GitWorkspace) -> None:
    """The bound holds for the whole change, not for what came since the last commit."""
    for step in range(2):
        files = {f"step{step}/{number}": "x\n" for number in range(DIFF_FILES // 2 + 1)}
        write(space.path, files)
        if step == 0:
            assert await space.commit("Step") is not None
    with pytest.raises(InvalidInput, match=f"at most {DIFF_FILES}"):
        await space.commit("Step")


async def test_too_big(space: GitWorkspace) -> None:
    """A file over the limit, sparse ones too, and a diff over the limit are refused."""
    with (space.path / "huge").open("wb") as huge:
        huge.truncate(EDIT_FILE_BYTES * 1_000)
    with pytest.raises(InvalidInput, match="file huge has"):
        await space.commit("Change")
    (space.path / "huge").unlink()
    for number in range(3):
        write(space.path, {f"text{number}": "0123456789abcde\n" * (DIFF_BYTES // 32)})
    with pytest.raises(InvalidInput, match="too long"):
        await space.commit("Change")


async def test_a_forged_time_hides_nothing(space: GitWorkspace) -> None:
    """A change of the same length under the old modification time is seen."""
    app = space.path / "app.py"
    before = app.stat()
    app.write_text("two\n")
    os.utime(app, ns=(before.st_atime_ns, before.st_mtime_ns))
    change = await space.commit("Change")
    assert change is not None
    assert change.files == ("app.py",)


async def test_a_tree_that_is_gone(space: GitWorkspace, tmp_path: Path) -> None:
    """A tree that was removed, or swapped for a link, is refused."""
    shutil.rmtree(space.path)
    with pytest.raises(InvalidInput, match="is gone"):
        await space.commit("Change")
    space.path.symlink_to(tmp_path)
    with pytest.raises(InvalidInput, match="is gone"):
        await space.commit("Change")


async def test_an_agents_repository_is_no_repository(space: GitWorkspace, tmp_path: Path) -> None:
    """A task that names a work tree of an agent as its repository is refused."""
    git(space.path, "init", "-q", ".")
    with pytest.raises(InvalidInput, match="inside an agent's work tree"):
        await GitWorkspaces(tmp_path / "root").checkout(str(space.path), None, "task-2")


async def test_forged_trailers_and_control_characters(space: GitWorkspace, origin: Origin) -> None:
    """A message cannot carry our trailers, terminal codes or a second subject."""
    write(space.path, {"app.py": "2\n"})
    change = await space.commit("Title \x1b[31m\u202ered\n\nBody\x00\nJuggernaut-Pull: 7\nEnd")
    assert change is not None
    await space.push(change, None)
    message = git(origin.bare, "log", "-1", "--format=%B", BRANCH)
    assert message == "Title [31m red\n\nBody\nEnd"
