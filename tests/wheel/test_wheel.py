"""The wheel ships all that an installed Juggernaut needs, nothing else, and starts anywhere."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path, PurePosixPath

import pytest

# Whichever test comes first pays for the build; on a busy machine that is more than 20 s.
# One process runs them all, so that it is built once.
pytestmark = [pytest.mark.timeout(90), pytest.mark.xdist_group("wheel")]

REPO = Path(__file__).resolve().parents[2]
SHIPPED = {
    "migrations": "juggernaut/_shipped/migrations/",
    "config": "juggernaut/_shipped/config/",
    "roles": "juggernaut/_shipped/roles/",
}


def run(*command: str | Path, cwd: Path, home: Path | None = None) -> str:
    """Run a program without this checkout's environment; return what it printed."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=kept if home is None else {**kept, "HOME": str(home), "TMPDIR": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel once, offline: hatchling is in the dev extra."""
    out = tmp_path_factory.mktemp("dist")
    run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, REPO),
        cwd=out,
    )
    built = list(out.glob("*.whl"))
    assert len(built) == 1
    return built[0]


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    """Return the names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.mark.parametrize("folder", sorted(SHIPPED))
def test_it_ships_every_file_of_the_folder(names: list[str], folder: str) -> None:
    """Migrations, configuration and roles lie where an installed copy looks for them."""
    here = {
        SHIPPED[folder] + path.relative_to(REPO / folder).as_posix()
        for path in (REPO / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert here
    assert here <= set(names)


def test_it_ships_every_module_and_query(names: list[str]) -> None:
    """No part of the package is left behind, whatever its suffix."""
    here = {
        path.relative_to(REPO).as_posix()
        for path in (REPO / "juggernaut").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and "_shipped" not in path.parts
    }
    assert "juggernaut/__main__.py" in here
    assert here <= set(names)


def test_it_ships_the_licence_and_nothing_of_the_workshop(names: list[str]) -> None:
    """Tests, caches and build files stay at home."""
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"juggernaut"}
    assert [name for name in names if "__pycache__" in name] == []
    modules = [PurePosixPath(name).name for name in names if name.endswith(".py")]
    assert [m for m in modules if m.startswith("test_") or m == "conftest.py"] == []


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a new environment; return its juggernaut program.

    The dependencies come from the present environment through a .pth line, so nothing is fetched.
    The new environment's own site-packages stand before them, so the wheel is what is imported.
    """
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    python = folder / "bin" / "python"
    run(
        *(python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"),
        *("--no-index", "--no-deps", wheel),
        cwd=folder,
    )
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / version / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "juggernaut"


@pytest.mark.slow
def test_the_installed_program_is_the_wheels(installed: Path) -> None:
    """The import comes from the wheel, not from this checkout."""
    python = installed.with_name("python")
    where = run(
        python, "-c", "import juggernaut, sys; sys.stdout.write(juggernaut.__file__)", cwd=Path("/")
    )
    assert Path(where).is_relative_to(installed.parents[1])


@pytest.mark.slow
def test_it_says_its_version_from_anywhere(installed: Path) -> None:
    """The command starts from a folder that knows nothing of the project."""
    source = (REPO / "juggernaut/__init__.py").read_text()
    version = next(
        line.split('"')[1] for line in source.splitlines() if line.startswith("__version__")
    )
    assert version in run(installed, "--version", cwd=Path("/"))


@pytest.mark.slow
def test_what_it_needs_comes_from_the_wheel(installed: Path) -> None:
    """Migrations, configuration and roles too: nothing of this checkout is read."""
    ask = (
        "import sys; from juggernaut.app.resources import find_resources as f; r = f();"
        " sys.stdout.write('\\n'.join(map(str, (r.config, r.migrations, r.roles))))"
    )
    told = run(installed.with_name("python"), "-c", ask, cwd=Path("/")).splitlines()
    assert len(told) == len(SHIPPED)
    for place in told:
        assert Path(place).is_relative_to(installed.parents[1])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give an empty HOME that the user of a PostgreSQL server can get to."""
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    return tmp_path


@pytest.mark.slow
def test_its_doctor_finds_nothing_wrong(installed: Path, home: Path) -> None:
    """Offline, from a folder that knows nothing of the project."""
    told = run(installed, "doctor", "--offline", "--json", cwd=Path("/"), home=home)
    findings = json.loads(told)
    assert findings
    assert [finding for finding in findings if finding["level"] == "fail"] == []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_its_demo_keeps_its_promises(installed: Path, home: Path) -> None:
    """A goal becomes a merge, with nothing but the wheel and its dependencies."""
    told = json.loads(run(installed, "demo", "--json", cwd=Path("/"), home=home))
    assert told["ok"], told["missing"]
    assert told["tests_after"]["green"]
    assert len(told["merged_sha"]) == 40
