"""What is shipped is found beside a checkout and inside a wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from juggernaut.app.resources import find_resources, role_files
from juggernaut.domain.errors import ConfigError


def make(folder: Path, *parts: str) -> None:
    """Make folders."""
    for part in parts:
        (folder / part).mkdir(parents=True)


def test_this_checkout_is_complete() -> None:
    """The folders of the code under test are found."""
    found = find_resources()
    assert (found.config / "juggernaut.yaml").is_file()
    assert list(found.migrations.glob("0001_*.sql"))


def test_a_wheel_wins_over_what_happens_to_lie_beside_it(tmp_path: Path) -> None:
    """In site-packages a folder `config` could be anybody's."""
    make(tmp_path, "migrations", "config", "roles")
    package = tmp_path / "juggernaut"
    make(package / "_shipped", "migrations", "config", "roles")
    assert find_resources(package).config == package / "_shipped" / "config"


def test_an_incomplete_installation_is_named(tmp_path: Path) -> None:
    """The message says where it looked."""
    make(tmp_path, "config")
    with pytest.raises(ConfigError, match=r"_shipped.*install"):
        find_resources(tmp_path / "juggernaut")


def test_roles_of_several_folders(tmp_path: Path) -> None:
    """Each file is a role; markers and other files are none; a double is refused."""
    make(tmp_path, "a", "b")
    for name in ("a/executor.py", "a/__init__.py", "a/notes.md", "b/auditor.py"):
        (tmp_path / name).write_text("")
    folders = [tmp_path / "a", tmp_path / "b"]
    assert list(role_files(folders)) == ["executor", "auditor"]
    (tmp_path / "b" / "executor.py").write_text("")
    with pytest.raises(ConfigError, match="rename one"):
        role_files(folders)
