"""The import contracts of pyproject.toml hold, and are shown to catch a sinner."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.reading import REPO

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package in a folder, with the contracts that lie beside it."""
    return subprocess.run(
        [str(LINT_IMPORTS), "--no-cache", "--no-logo"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Return a small tree of the same shape as the product, with the real contracts."""
    package = tmp_path / "juggernaut"
    for name in (
        *("__init__", "__main__", "ports", "role", "domain/__init__", "domain/states"),
        *("lifecycle/__init__", "lifecycle/claim", "runtime/__init__", "http/__init__"),
        *("coder/__init__", "adapters/__init__", "adapters/llm/__init__", "adapters/clock"),
        *("adapters/postgres/__init__", "app/__init__", "app/doctor", "app/migrate"),
    ):
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (package / "app/__init__.py").write_text("import juggernaut.adapters.llm, juggernaut.runtime")
    (package / "runtime/__init__.py").write_text("import juggernaut.role")
    (package / "role.py").write_text("import juggernaut.lifecycle.claim")
    (package / "lifecycle/claim.py").write_text("import juggernaut.ports")
    (package / "ports.py").write_text("import juggernaut.domain.states")
    (package / "adapters/postgres/__init__.py").write_text("import asyncpg")
    shutil.copy(REPO / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold() -> None:
    """Imports of the product point downward."""
    result = lint_imports(REPO)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_house_in_order_passes(house: Path) -> None:
    """The contracts allow what the design draws."""
    result = lint_imports(house)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("domain/states", "juggernaut.ports"),
        ("ports", "juggernaut.adapters.clock"),
        ("lifecycle/claim", "juggernaut.role"),
        ("lifecycle/claim", "juggernaut.adapters.llm"),
        ("role", "juggernaut.runtime"),
        ("runtime/__init__", "juggernaut.adapters.postgres"),
        ("runtime/__init__", "juggernaut.http"),
        ("http/__init__", "juggernaut.role"),
        ("coder/__init__", "juggernaut.lifecycle.claim"),
        ("adapters/llm/__init__", "juggernaut.coder"),
        ("adapters/llm/__init__", "juggernaut.lifecycle.claim"),
        ("adapters/llm/__init__", "juggernaut.adapters.clock"),
        ("adapters/clock", "juggernaut.role"),
        ("app/doctor", "asyncpg"),
        ("lifecycle/claim", "asyncpg"),
    ],
)
def test_an_import_that_points_upward_is_caught(house: Path, importer: str, imported: str) -> None:
    """Each direction that the design forbids breaks a contract."""
    (house / "juggernaut" / f"{importer}.py").write_text(f"import {imported}\n")
    result = lint_imports(house)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout


def test_an_unlisted_top_level_module_is_caught(house: Path) -> None:
    """A new package must be given its place in the order."""
    (house / "juggernaut/attic.py").write_text("")
    assert lint_imports(house).returncode == 1
