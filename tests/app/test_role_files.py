"""Role files are loaded by path, and a broken one is named in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from juggernaut.app.resources import find_resources, read_prompts, role_files
from juggernaut.app.role_files import load_role
from juggernaut.domain.errors import ConfigError

GOOD = "from juggernaut.role import Role\nROLE = Role(name='auditor', instructions='look')\n"


def write(folder: Path, text: str, name: str = "auditor.py") -> Path:
    """Write a role file."""
    path = folder / name
    path.write_text(text)
    return path


def test_the_shipped_roles_load() -> None:
    """All five, each under the name of its file."""
    files = role_files([find_resources().roles])
    assert {load_role(path).name for path in files.values()} == {
        *("orchestrator", "executor", "watchdog", "analyst", "strategist")
    }


def test_a_sixth_role_is_one_file(tmp_path: Path) -> None:
    """It needs nothing but ROLE."""
    assert load_role(write(tmp_path, GOOD)).name == "auditor"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ROLE = 1", "has no ROLE"),
        ("", "has no ROLE"),
        ("x = (", "SyntaxError"),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("ROLE = undefined", "NameError"),
        (GOOD.replace("auditor", "other"), "name the file and the role alike"),
    ],
)
def test_a_broken_file_is_named(text: str, words: str, tmp_path: Path) -> None:
    """The path and the reason."""
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=words) as caught:
        load_role(path)
    assert str(path) in str(caught.value)


def test_a_file_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    """It would run with this process's rights."""
    path = write(tmp_path, GOOD)
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="everybody may write"):
        load_role(path)


def test_prompts_are_read_by_name_and_bounded(tmp_path: Path) -> None:
    """A binary file or a huge one is refused by its path."""
    (tmp_path / "code.md").write_text("do it")
    assert read_prompts(tmp_path) == {"code": "do it"}
    (tmp_path / "bad.md").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"bad\.md"):
        read_prompts(tmp_path)
