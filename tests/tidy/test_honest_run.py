"""The plugin that refuses dishonest runs: each kind of dishonesty, in a pytest of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.reading import REPO

PASSING = "def test_one() -> None:\n    assert True\n"


def run(folder: Path, source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with only the plugin on one test file."""
    (folder / "test_sample.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.honest_run", "-p", "no:cacheprovider"]
        + ["-p", "no:randomly", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPO)},
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
