"""Where the tidy tests find the files that they judge."""

import subprocess
from functools import cache
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
PRODUCT_FOLDERS = ("juggernaut", "roles")
# Left by tools; only consulted when the tree is not a git checkout (a source archive).
UNTRACKED_FOLDERS = frozenset(
    {".git", ".venv", "__pycache__", "dist", "build", ".mypy_cache", ".ruff_cache"}
    | {".pytest_cache", ".hypothesis", ".import_linter_cache", ".juggernaut", "node_modules"}
)


@cache
def repository_files() -> tuple[Path, ...]:
    """Return every file that belongs to the repository, sorted; a new uncommitted one too."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [REPO / name for name in listed.stdout.split("\0") if name]
    else:
        found = [p for p in REPO.rglob("*") if not UNTRACKED_FOLDERS & set(p.parts)]
    return tuple(sorted({path for path in found if path.is_file()}))


def relative(path: Path) -> str:
    """Return a path as it is written in a finding: from the root of the repository."""
    return path.relative_to(REPO).as_posix()


def files_under(*folders: str, suffix: str = "") -> list[Path]:
    """Return the repository's files below the given top-level folders."""
    return [
        path
        for path in repository_files()
        if path.relative_to(REPO).parts[0] in folders and path.name.endswith(suffix)
    ]


def product_python() -> list[Path]:
    """Return every Python file that is shipped."""
    return files_under(*PRODUCT_FOLDERS, suffix=".py")


def all_python() -> list[Path]:
    """Return every Python file of the repository."""
    return [path for path in repository_files() if path.suffix == ".py"]


def text_of(path: Path) -> str:
    """Return a file's text; bytes that are not UTF-8 are replaced, not fatal."""
    return path.read_text(encoding="utf-8", errors="replace")
