"""The plugin that refuses dishonest runs: each kind of dishonesty, in a pytest of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.reading import REPO

SHARED = ("-p", "xdist.plugin", "-n", "2")
PASSING = "def test_one() -> None:\n    assert True\n"


def run(folder: Path, source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with only the plugin on one test file."""
    (folder / "test_sample.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.honest_run", "-p", "no:cacheprovider"]
        + list(arguments),
        cwd=folder,
        # Finding and loading every installed plugin is most of the time of such a run.
        env={**os.environ, "PYTHONPATH": str(REPO), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "extra",
    [
        "",
        'import pytest\n\ndef test_two():\n    pytest.skip("needs bwrap")\n',
        'import pytest\n\n@pytest.mark.skip(reason="needs git")\ndef test_two():\n    ...\n',
        "import pytest\n\n@pytest.mark.xfail\ndef test_two():\n    assert False\n",
    ],
)
def test_an_honest_run_stays_green(tmp_path: Path, extra: str) -> None:
    """A named need is an honest reason; so is an expected failure."""
    result = run(tmp_path, extra + PASSING)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    "extra",
    [
        "import pytest\n\n@pytest.mark.skip\ndef test_two():\n    ...\n",
        'import pytest\n\ndef test_two():\n    pytest.skip("flaky")\n',
        'import pytest\n\ndef test_two():\n    pytest.skip("needs ")\n',
    ],
)
def test_a_vague_skip_fails_the_run(tmp_path: Path, extra: str) -> None:
    """A skip that does not say what it needs hides a defect."""
    result = run(tmp_path, extra + PASSING)
    assert result.returncode == 1, result.stdout
    assert "not an honest run" in result.stdout
    assert 'a reason begins with "needs "' in result.stdout


def test_a_file_skipped_as_a_whole_is_judged_too(tmp_path: Path) -> None:
    """An importorskip at the head of a file is a skip like any other."""
    (tmp_path / "test_other.py").write_text(PASSING)
    result = run(tmp_path, 'import pytest\n\npytest.importorskip("no_such_module_anywhere")\n')
    assert result.returncode == 1, result.stdout


def test_a_run_of_nothing_but_skips_fails(tmp_path: Path) -> None:
    """Green with no test run is the emptiest lie."""
    result = run(tmp_path, 'import pytest\n\ndef test_two():\n    pytest.skip("needs bwrap")\n')
    assert result.returncode == 1, result.stdout
    assert "no test ran" in result.stdout


@pytest.mark.parametrize(
    ("source", "arguments"),
    [("", ()), (PASSING, ("-k", "nothing")), ("import no_such_module_anywhere\n", ())],
)
def test_an_empty_or_broken_collection_fails(
    tmp_path: Path, source: str, arguments: tuple[str, ...]
) -> None:
    """Nothing collected, everything deselected, or a file that does not load."""
    assert run(tmp_path, source, *arguments).returncode != 0


def test_a_collection_error_fails_a_run_that_goes_on(tmp_path: Path) -> None:
    """The option that shrugs at a broken file does not make the run honest."""
    (tmp_path / "test_other.py").write_text(PASSING)
    result = run(tmp_path, "import no_such_module\n", "--continue-on-collection-errors")
    assert result.returncode != 0
    assert "could not be collected" in result.stdout


def test_listing_tests_is_not_a_run(tmp_path: Path) -> None:
    """--collect-only runs nothing on purpose."""
    assert run(tmp_path, PASSING, "--collect-only").returncode == 0


def test_honest_processes_stay_green(tmp_path: Path) -> None:
    """Two processes share two tests: no process is blamed for what the other ran."""
    skipping = 'import pytest\n\ndef test_two():\n    pytest.skip("needs bwrap")\n'
    result = run(tmp_path, skipping + PASSING, *SHARED)
    assert result.returncode == 0, result.stdout
    assert "1 passed, 1 skipped" in result.stdout


def test_processes_that_share_the_tests_hide_nothing(tmp_path: Path) -> None:
    """A vague skip and a file left out are told once, whichever process met them."""
    (tmp_path / "test_other.py").write_text(PASSING)
    (tmp_path / "test_left_out.py").write_text('import pytest\n\npytest.importorskip("no_such")\n')
    vague = 'import pytest\n\ndef test_two():\n    pytest.skip("flaky")\n'
    result = run(tmp_path, vague, *SHARED)
    assert result.returncode == 1, result.stdout
    assert result.stdout.count('a reason begins with "needs "') == 2, result.stdout


@pytest.mark.parametrize(
    "source",
    ["", PASSING.replace("def", "@__import__('pytest').mark.skip(reason='needs git')\ndef")],
)
def test_processes_that_ran_nothing_fail(tmp_path: Path, source: str) -> None:
    """Nothing collected, or nothing but skips, is as empty with two processes as with one."""
    result = run(tmp_path, source, *SHARED)
    assert result.returncode != 0, result.stdout
    assert "no test ran" in result.stdout
