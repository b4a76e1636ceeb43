"""What touches its own judges is tried with those of the base: lines that only add weaken too.

The real executor, git, database and harness. In every attack the bug is still there, and all that
the repository's rules for paths and removed assertions see is nothing at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from juggernaut.domain.judging import fallen, files_of_tests, judges, judging_part
from juggernaut.domain.reports import Report
from juggernaut.lifecycle.trial import judges_of, put_back, touched
from tests.fakes.puppets import PuppetAgent
from tests.roles.bench import BAD_SLUG, GOOD_SLUG, PYTHON, SLUG_FILES, TESTS, Bench

BUG = SLUG_FILES["slug.py"]
TEST = SLUG_FILES["test_slug.py"]
ALONE = ("env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1")
PYTEST = (*ALONE, PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider")
OTHER = (
    "import unittest\n\n\nclass TestAll(unittest.TestCase):\n    def test_it(self):\n        pass\n"
)
PATCH = "import slug\nslug.slug = lambda text: text.replace(' ', '-')\n"
MARK = "<<"  # stands for the test file as it is
# Each adds lines or files, and takes nothing away.
ADDED: Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "a skip of the module": (
        PYTEST,
        {"test_slug.py": f"import pytest\npytest.importorskip('no_such_thing')\n{MARK}"},
    ),
    "a return before the assertion": (
        TESTS,
        {"test_slug.py": TEST.replace("        self", "        return\n        self")},
    ),
    "a second test of the same name": (
        TESTS,
        {"test_slug.py": f"{MARK}\n    def test_dash(self):\n        pass\n"},
    ),
    "a patch in the test": (TESTS, {"test_slug.py": f"{PATCH}{MARK}"}),
    "a patch in a new test": (TESTS, {"test_0.py": f"{PATCH}{OTHER}"}),
    "a hook that skips": (
        PYTEST,
        {
            "conftest.py": "import pytest\n\ndef pytest_collection_modifyitems(items):\n"
            "    items[-1].add_marker(pytest.mark.skip)\n"
        },
    ),
    "a plugin by an option": (
        PYTEST,
        {
            "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-p patching'\n",
            "patching.py": PATCH,
        },
    ),
}


async def add(bench: Bench, argv: tuple[str, ...], base: Mapping[str, str]) -> str:
    """Add a task that the repository's tests judge; gives its id."""
    bench.origin.push("main", {"test_a.py": OTHER, **base})
    check = json.dumps([{"text": "the tests pass", "check": list(argv)}])
    task = await bench.add_task("code", acceptance_criteria=check, payload={"test": list(argv)})
    return str(task)


@pytest.mark.parametrize("name", ADDED)
async def test_lines_that_only_add_weaken_nothing_unseen(bench: Bench, name: str) -> None:
    """All is green at the change; the tests of the base are red on its sources, and people see."""
    argv, files = ADDED[name]
    old = {"conftest.py": "# nothing yet\n"} if "conftest.py" in files else {}
    # An empty pyproject.toml keeps pytest from looking above the work tree.
    task = await add(bench, argv, {"pyproject.toml": "", **old})
    before = bench.origin.head("main")
    draft = {path: text.replace(MARK, TEST) for path, text in files.items()}
    bench.use(agent=PuppetAgent({**draft, "slug.py": f"# fixed\n{BUG}"}))
    word = await bench.work("executor")
    row = (await bench.rows("SELECT * FROM governance_tasks WHERE id::text = $1", task))[0]
    assert (word, row["status"]) == ("parked", "waiting_approval"), row["error_message"]
    assert any("of the base do" in factor for factor in row["risk_factors"]), row["risk_factors"]
    assert bench.origin.head("main") == before
    bodies = await bench.rows("SELECT body FROM juggernaut.pull_requests")
    assert "tests of the base do not pass" in bodies[0]["body"]


async def test_a_fix_with_a_test_more_needs_nobody(bench: Bench) -> None:
    """The file that judges grew, and the tests that were there before pass on the change too."""
    task = await add(bench, PYTEST, {})
    more = TEST + '\n    def test_two(self):\n        self.assertEqual(slug("a  b"), "a--b")\n'
    new = OTHER.replace("TestAll", "TestNew")
    files = {"slug.py": GOOD_SLUG, "test_slug.py": more, "tests/test_new.py": new}
    bench.use(agent=PuppetAgent({**files, "tests/__init__.py": ""}))
    assert await bench.work("executor") == "completed"
    rows = await bench.rows("SELECT risk_level FROM governance_tasks WHERE id::text = $1", task)
    assert rows[0]["risk_level"] == "medium"


async def test_a_behaviour_that_is_meant_to_change_is_decided_on_once(bench: Bench) -> None:
    """A person approves exactly this diff; then it is merged, and the proof names the doubt."""
    pinned = TEST.replace("import unittest\n", 'import unittest\n\nWANTED = "a-b"\n')
    pinned = pinned.replace('"a-b")', "WANTED)")
    task = await add(bench, TESTS, {"slug.py": GOOD_SLUG, "test_slug.py": pinned})
    changed = pinned.replace('WANTED = "a-b"', 'WANTED = "a+b"')
    bench.use(agent=PuppetAgent({"slug.py": BAD_SLUG, "test_slug.py": changed}))
    assert await bench.work("executor") == "parked"
    waiting = await bench.rows("SELECT task_id, gate FROM pending_approvals")
    assert [row["gate"] for row in waiting] == ["diff"]
    await bench.approve(waiting[0]["task_id"])
    assert await bench.work("executor") == "completed"
    assert bench.origin.show("main:slug.py").strip() == BAD_SLUG.strip()
    facts = await bench.rows("SELECT facts FROM juggernaut.verdicts WHERE task_id::text = $1", task)
    assert "tests of the base do not pass" in str(facts[0]["facts"])


@pytest.mark.parametrize("honest", [True, False])
async def test_a_command_that_counts_nothing_is_tried_by_its_end(
    bench: Bench, honest: bool
) -> None:
    """The base's test is put back under a check of another kind; its new files stay."""
    argv = ("sh", "-c", f"{PYTHON} test_slug.py && {PYTHON} test_more.py")
    script = "from slug import slug\nassert slug('a b') == 'a-b'\n"
    task = await add(bench, argv, {"test_slug.py": script})
    start = "import sys\n" if honest else "import sys\nsys.exit(0)\n"
    slug = GOOD_SLUG if honest else f"# fixed\n{BUG}"
    files = {"slug.py": slug, "test_slug.py": start + script}
    bench.use(agent=PuppetAgent({**files, "test_more.py": "pass\n"}))
    assert await bench.work("executor") == ("completed" if honest else "parked")
    if honest:
        return
    row = (await bench.rows("SELECT * FROM governance_tasks WHERE id::text = $1", task))[0]
    assert any("tests of the base it ends" in factor for factor in row["risk_factors"])


def test_which_files_judge() -> None:
    """By name, by place, and by the part that speaks of tests."""
    for path in ("tests/data.json", "a/Test_b.py", "x/b_test.go", "Conftest.py", "web/a.spec.ts"):
        assert judges(path), path
    for path in ("src/latest.py", "contest.py", "docs/testing.md", "attest/a.py"):
        assert not judges(path), path
    plain, part = b"[project]\nname = 'a'\n", b"[tool.pytest.ini_options]\naddopts = '-x'\n"
    assert judging_part("pyproject.toml", plain) is None
    found = judging_part("pyproject.toml", plain + part)
    assert found is not None
    assert judging_part("pyproject.toml", plain.replace(b"'a'", b"'b'") + part) == found
    assert judging_part("setup.cfg", b"[metadata]\nname = a\n") is None
    assert judging_part("setup.cfg", b"[tool:pytest]\naddopts = -x\n") is not None
    for broken in (b"[tool", b"\xff", b"tool = 1\n"):
        assert judging_part("pyproject.toml", broken) == broken


def test_which_tests_of_the_base_fall() -> None:
    """Failed, gone, or skipped where it ran before; a skip that was one stays one."""
    files = dict.fromkeys(("t.py::a", "t.py::b", "t.py::c"), "t.py")
    before = Report({"t.py::a": "passed", "t.py::b": "skipped", "t.py::c[1]": "failed"}, files, "")
    good = {"t.py::a": "passed", "t.py::b": "skipped", "t.py::c[2]": "passed"}
    assert fallen(before, Report(good, files, "")) == ()
    for change in ({"t.py::a": "skipped"}, {"t.py::a": "failed"}, {"t.py::a": "lost"}):
        assert fallen(before, Report({**good, **change}, files, "")) == ("t.py::a",)
    assert fallen(before, Report({"t.py::a": "passed"}, files, "")) == ("t.py::b", "t.py::c")
    doctest = Report({"src/m.py::m.f": "passed"}, {"src/m.py::m.f": "src/m.py"}, "")
    assert files_of_tests(doctest) == set()
    assert files_of_tests(Report(good, files, "")) == {"t.py"}


def test_links_are_put_back_and_not_followed(tmp_path: Path) -> None:
    """A folder of tests that became a link, and one that was a link before."""
    old, now, aside = tmp_path / "old", tmp_path / "now", tmp_path / "aside"
    for place in (old / "tests", old / "real", now / "evil", aside):
        place.mkdir(parents=True)
    (old / "tests/test_a.py").write_text("old\n")
    (old / "spec").symlink_to("real")
    (now / "evil/test_a.py").write_text("new\n")
    (now / "tests").symlink_to("evil")
    (now / "spec").mkdir()
    (now / "spec/kept.py").symlink_to(aside)
    found = touched(judges_of(old), judges_of(now), [], [])
    assert {"tests", "tests/test_a.py", "spec", "spec/kept.py"} <= found.changed
    put_back(old, now, found.changed)
    assert (now / "tests/test_a.py").read_text() == "old\n"
    assert not (now / "tests").is_symlink()
    assert not (now / "evil/test_a.py").exists()
    assert (now / "spec").readlink() == Path("real")
    assert aside.is_dir()
