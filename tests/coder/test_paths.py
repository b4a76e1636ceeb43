import os
import socket
from pathlib import Path

import pytest

from juggernaut.coder.paths import WorkTree, parse
from juggernaut.domain import limits
from juggernaut.domain.errors import InvalidInput

SECRET = "FAKE-secret-outside"


@pytest.fixture
def tree(tmp_path: Path) -> WorkTree:
    """Give a work tree with links and special files in it, and a secret outside."""
    root = tmp_path / "tree"
    (root / "src").mkdir(parents=True)
    (root / "src" / "a.py").write_text("one\n")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    (root / "out").symlink_to(outside)
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "inside").symlink_to("src/a.py")
    (root / "loop").symlink_to("loop")
    (root / "null").symlink_to("/dev/null")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text(SECRET)
    os.mkfifo(root / "fifo")
    return WorkTree(root)


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "//etc/passwd", "..", "../outside/secret", "src/../../outside/secret"),
        *("src/..", "./../x", "a\0b", "a\nb", "a\x1b[31m", "a\u202eb", "a\u2028b"),
        *(".git", ".git/config", ".GIT/config", ".Git/hooks/x", "src/.git/config", "./.git/x"),
        *(".git./x", ".git /x", ".git::$INDEX_ALLOCATION/x", "GIT~1/x", ".g\u200cit/config"),
        *(".\uff47\uff49\uff54/config", "x" * 256, "\u00e4" * 200, "a/" * 600),
    ],
    ids=lambda path: ascii(path)[:24],
)
def test_a_path_that_no_tool_may_touch_is_refused(path: str) -> None:
    """Out of the tree, into git's folder however spelled, or nothing that a name should be."""
    with pytest.raises(InvalidInput):
        parse(path)


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("", ()),
        (".", ()),
        ("./src//a.py", ("src", "a.py")),
        (".github/workflows/ci.yml", (".github", "workflows", "ci.yml")),
        (".gitignore", (".gitignore",)),
        ("git", ("git",)),
        ("...", ("...",)),
        ("a b/\u00e4.py", ("a b", "\u00e4.py")),
        ("-rf", ("-rf",)),
        ("~/x", ("~", "x")),
    ],
)
def test_an_ordinary_path_is_split(path: str, parts: tuple[str, ...]) -> None:
    """Names that only look special are names."""
    assert parse(path) == parts


@pytest.mark.parametrize(
    "path", ["out/secret", "out", "absolute", "inside", "loop", "null", "fifo", "src", "", "gone"]
)
def test_only_regular_files_are_read(tree: WorkTree, path: str) -> None:
    """No link is followed, even inside; a FIFO does not make us wait."""
    with pytest.raises(InvalidInput) as refused:
        tree.read(parse(path))
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "path", ["out/secret", "out/new", "out", "absolute", "inside", "null", "fifo", "src", ""]
)
def test_only_regular_files_are_written(tree: WorkTree, path: str, tmp_path: Path) -> None:
    """Nothing outside changes, and nothing is left behind."""
    with pytest.raises(InvalidInput):
        tree.write(parse(path), "overwritten")
    assert (tmp_path / "outside" / "secret").read_text() == SECRET
    assert [entry.name for entry in (tmp_path / "outside").iterdir()] == ["secret"]
    assert (tree.root / "src" / "a.py").read_text() == "one\n"
    assert not list(tree.root.rglob(".new-*"))


def test_a_device_and_a_socket_are_refused(tree: WorkTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is not a regular file has a reason of its own."""
    monkeypatch.chdir(tree.root)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket")
        for action in (lambda: tree.read(("socket",)), lambda: tree.write(("socket",), "x")):
            with pytest.raises(InvalidInput):
                action()


def test_a_folder_swapped_for_a_link_is_refused_by_the_kernel(
    tree: WorkTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check passed, then the folder became a link, before it was opened."""
    real = os.open

    def swap(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """Put a link in the folder's place just before it is opened."""
        if path == "src" and not (tree.root / "src").is_symlink():
            (tree.root / "src").rename(tree.root / "moved")
            (tree.root / "src").symlink_to(tmp_path / "outside")
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swap)
    with pytest.raises(InvalidInput, match="link"):
        tree.write(("src", "secret"), "overwritten")
    assert (tmp_path / "outside" / "secret").read_text() == SECRET


def test_a_hard_link_is_replaced_and_not_written_through(tree: WorkTree, tmp_path: Path) -> None:
    """A write makes a new file, so the other name keeps its content."""
    os.link(tmp_path / "outside" / "secret", tree.root / "hard")
    tree.write(("hard",), "new")
    assert (tmp_path / "outside" / "secret").read_text() == SECRET
    assert (tree.root / "hard").read_text() == "new"


def test_a_write_makes_folders_and_keeps_the_mode(tree: WorkTree) -> None:
    """A script stays executable; a set-user-id bit does not stay."""
    assert tree.write(("new", "deep", "x.sh"), "a\r\nb") == 4
    made = tree.root / "new" / "deep" / "x.sh"
    assert made.read_bytes() == b"a\r\nb"
    made.chmod(0o4755)
    tree.write(("new", "deep", "x.sh"), "c")
    assert made.stat().st_mode & 0o7777 == 0o755


def test_size_and_encoding_are_bounded(tree: WorkTree) -> None:
    """A file that is too large or no text is named, not loaded."""
    (tree.root / "big").write_bytes(b"x" * (limits.EDIT_FILE_BYTES + 1))
    (tree.root / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("big", "binary"):
        with pytest.raises(InvalidInput, match=name):
            tree.read((name,))
    with pytest.raises(InvalidInput, match="at most"):
        tree.write(("x",), "x" * (limits.EDIT_FILE_BYTES + 1))


def test_descriptors_are_given_back(tree: WorkTree) -> None:
    """Neither success nor refusal leaks one."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        tree.read(("src", "a.py"))
        for path in ("out/secret", "fifo", "gone/x", "src"):
            with pytest.raises(InvalidInput):
                tree.read(parse(path))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
