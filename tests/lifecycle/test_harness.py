"""Test runs are counted by the witness in the harness's own process, in a real sandbox."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from juggernaut.adapters.sandboxes.bare import BareSandbox
from juggernaut.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from juggernaut.domain.counts import Counts, compare, count_report, harness_of
from juggernaut.domain.exchange import CommandResult
from juggernaut.domain.limits import REPORT_BYTES
from juggernaut.domain.reports import Report, gone, read_report
from juggernaut.lifecycle import harness
from juggernaut.lifecycle.harness import list_tests, run_tests
from juggernaut.ports import Sandbox

PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly")
UNITTEST = (sys.executable, "-m", "unittest", "-q")
# Every kind of end that the two harnesses know.
MIXED = """
import os, unittest

class TestOne(unittest.TestCase):
    def test_passes(self):
        mine = [v for k, v in os.environ.items() if k.startswith("PY") and "witness" in v]
        self.assertEqual(mine, [])

    def test_fails(self):
        self.fail("red")

    @unittest.skip("not now")
    def test_is_skipped(self):
        pass

    @unittest.expectedFailure
    def test_is_known_to_fail(self):
        self.fail("known")

    def test_breaks(self):
        raise OSError("broken")

    def test_has_a_red_part(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1)

class TestTwo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise unittest.SkipTest("no server")

    def test_never_begins(self):
        pass
"""
GREEN = (
    "import unittest\n\nclass TestIt(unittest.TestCase):\n    def test_it(self):\n        pass\n"
)
CASES = "import pytest\n\n@pytest.mark.parametrize('n', [1, 2])\ndef test_case(n):\n    assert n\n"


@pytest.fixture(params=["bare", "bubblewrap"])
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Sandbox:
    """Give each kind of sandbox."""
    if request.param == "bare":
        return BareSandbox(tmp_path / "scratch")
    program = shutil.which("bwrap")
    if program is None:
        pytest.skip("needs bubblewrap (apt-get install bubblewrap)")
    return BubblewrapSandbox(program, tmp_path / "scratch")


@pytest.fixture
def bare(tmp_path: Path) -> Sandbox:
    """Give the plain sandbox."""
    return BareSandbox(tmp_path / "scratch")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give a work tree in a folder of its own."""
    folder = tmp_path / "work" / "tree"
    folder.mkdir(parents=True)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return folder


@pytest.mark.parametrize("argv", [PYTEST, UNITTEST], ids=["pytest", "unittest"])
async def test_every_outcome_is_in_the_report(
    sandbox: Sandbox, tree: Path, argv: tuple[str, ...]
) -> None:
    """Passed, failed, skipped, known, broken, a red part, a class that never begins."""
    (tree / "test_mixed.py").write_text(MIXED)
    run = await run_tests(sandbox, tree, argv)
    assert run.result.argv == argv
    assert run.report is not None, run.result.output
    ends = {
        name.rpartition(".")[2].rpartition("::")[2]: end
        for name, end in run.report.outcomes.items()
    }
    assert ends == {
        **dict.fromkeys(("test_passes",), "passed"),
        **dict.fromkeys(("test_fails", "test_breaks", "test_has_a_red_part"), "failed"),
        **dict.fromkeys(("test_is_skipped", "test_is_known_to_fail"), "skipped"),
        "test_never_begins": "skipped",
    }
    assert (run.counts.passed, run.counts.failed, run.counts.source) == (1, 3, "report")
    assert {run.report.files[name] for name in run.report.tests} == {"test_mixed.py"}


@pytest.mark.parametrize("argv", [PYTEST, UNITTEST], ids=["pytest", "unittest"])
async def test_a_file_that_cannot_be_read_is_no_test(
    bare: Sandbox, tree: Path, argv: tuple[str, ...]
) -> None:
    """It fails the run, and a list of tests does not name it."""
    (tree / "test_bad.py").write_text("import nothing_like_it\n")
    (tree / "test_good.py").write_text(GREEN)
    run = await run_tests(bare, tree, argv)
    assert run.report is not None
    assert run.counts.failed >= 1
    listed = await list_tests(bare, tree, argv)
    assert listed is not None
    assert {name.rpartition("test_it")[1] for name in listed.tests} == {"test_it"}
    assert listed.passed == 0, "listing runs nothing"


async def test_a_shell_line_and_an_environment_take_the_witness_too(
    bare: Sandbox, tree: Path
) -> None:
    """A pytest that is found through sh, and settings that the command itself makes."""
    (tree / "test_cases.py").write_text(CASES)
    lines: tuple[tuple[str, ...], ...] = (
        ("sh", "-c", f"true && {' '.join(PYTEST)}"),
        ("env", "PYTHONPATH=.", "PYTEST_ADDOPTS=--strict-markers", *PYTEST),
    )
    for argv in lines:
        run = await run_tests(bare, tree, argv)
        assert (run.counts.passed, run.counts.source) == (2, "report"), run.result.output
        assert run.report is not None
        assert run.report.tests == {"test_cases.py::test_case"}
    quiet = await run_tests(bare, tree, ("sh", "-c", "echo pytest is not here"))
    assert (quiet.counts, quiet.report) == (Counts(1, 0, "the command as one check"), None)
    plain = await run_tests(bare, tree, ("true",))
    assert (plain.counts.good, plain.report) == (True, None)


@pytest.mark.parametrize("kind", ["nothing", "fifo", "link", "large", "folder"])
def test_what_is_no_plain_small_file_is_no_report(tmp_path: Path, kind: str) -> None:
    """Reading it neither waits nor follows."""
    place = tmp_path / "report"
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "link":
        (tmp_path / "other").write_bytes(b"x")
        place.symlink_to(tmp_path / "other")
    elif kind == "large":
        place.touch()
        os.truncate(place, REPORT_BYTES + 1)
    elif kind == "folder":
        place.mkdir()
    assert harness._read(place) is None


def signed(entries: object, key: str = "key") -> bytes:
    """Write a report."""
    body = json.dumps(entries).encode()
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest().encode() + b"\n" + body


def test_only_a_signed_report_of_the_right_form_is_one() -> None:
    """Another key, no key, no JSON, another form."""
    good = {"a": ["passed", "f.py"]}
    assert read_report(signed(good), "key") is not None
    for raw in (
        *(signed(good, "guess"), json.dumps(good).encode(), b"", b"\n", b"\xff\n{}"),
        *(signed([]), signed({"a": "passed"}), signed({"a": ["passed"]}), signed({"a": [1, 2]})),
    ):
        assert read_report(raw, "key") is None, raw


def report(**ends: str) -> Report:
    """Make a report of tests in one file."""
    return Report(ends, dict.fromkeys(ends, "t.py"), "0" * 64)


def test_a_report_is_held_against_exit_code_console_and_base() -> None:
    """What contradicts it, and what is gone."""
    green = report(a="passed", b="skipped")
    for code, output, good in (
        *((0, "1 passed, 1 skipped in 0.1s", True), (0, "", True)),
        *((1, "", False), (0, "1 failed, 1 passed in 0.1s", False)),
    ):
        assert count_report(CommandResult(PYTEST, code, output, 1.0), green).good is good
    assert not count_report(CommandResult(PYTEST, 0, "", 1.0), report(a="passed", b="lost")).good
    assert (
        "no report" in count_report(CommandResult(PYTEST, 0, "9 passed in 1s", 1.0), None).problem
    )
    counts = Counts(1, 0, "report")
    before = report(a="passed", b="failed", c="broken")
    assert compare(counts, green, before, set()).good, "what was broken is no test"
    assert not compare(counts, report(a="passed"), before, set()).good
    assert compare(counts, report(a="passed"), before, {"t.py"}).good
    assert not compare(counts, None, before, {"t.py"}).good
    assert (
        gone(report(**{"p[1]": "passed", "p[2]": "passed"}), report(**{"p[3]": "passed"}), set())
        == ()
    )


@pytest.mark.parametrize(
    ("argv", "name", "sure"),
    [
        (PYTEST, "pytest", True),
        (("/usr/bin/pytest", "-q"), "pytest", True),
        (UNITTEST, "unittest", True),
        (("sh", "-c", "cd a && pytest"), "pytest", False),
        (("sh", "-c", "python -m unittest"), None, None),
        (("make", "test"), None, None),
        (("unittest",), None, None),
    ],
)
def test_which_commands_owe_a_report(
    argv: tuple[str, ...], name: str | None, sure: bool | None
) -> None:
    """A harness that is started directly does; a shell line that speaks of one may."""
    found = harness_of(argv)
    assert (found and found.name, found and found.sure) == (name, sure)
