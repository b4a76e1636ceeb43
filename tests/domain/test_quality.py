"""Findings are narrowed to changed lines; texts for forges do nothing; size is bounded."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from juggernaut.domain.limits import PULL_BODY_CHARS, QUALITY_FINDINGS
from juggernaut.domain.model import (
    Criterion,
    CriterionVerdict,
    Priority,
    Risk,
    Sha,
    Task,
    TaskId,
    Verdict,
)
from juggernaut.domain.pull_body import PullFacts, pull_body
from juggernaut.domain.pull_rules import PullRules, inert, too_big
from juggernaut.domain.pulls import Change
from juggernaut.domain.quality import (
    Changed,
    Finding,
    changed_lines,
    on_changed,
    python_files,
    read_findings,
    told,
)
from juggernaut.domain.states import TaskStatus

DIFF = (
    "diff --git a/old.py b/old.py\nindex 1..2 100644\n--- a/old.py\n+++ b/old.py\n"
    "@@ -1,3 +1,4 @@\n one\n-two\n+TWO  # noqa\n+2.5\n three\n"
    'diff --git "a/caf\\303\\251.py" "b/caf\\303\\251.py"\nnew file mode 100644\nindex 0..1\n'
    '--- /dev/null\n+++ "b/caf\\303\\251.py"\n@@ -0,0 +1 @@\n+x = 1\n'
)
PEST = (
    "fixes #12, closes GH-3 and resolves o/r#4, see https://forge.invalid/o/r/issues/5\n"
    "@ada and mail to bob@example.invalid `@eve`\n"
    "Signed-off-by: Mallory <m@example.invalid>\n"
    "<img src=x> ![x](http://x.invalid) [skip ci]\n/merge"
)


def finding(path: str, line: int, last: int | None = None) -> Finding:
    """Make a finding."""
    return Finding(path, line, last or line, "T201", "`print` found")


def test_only_lines_that_the_change_wrote_count() -> None:
    """By overlap in a file that was there, whole in a new one, never in another."""
    changed = changed_lines(DIFF, ["old.py", "café.py"])
    kept = [finding("old.py", 2), finding("old.py", 1, 2), finding("café.py", 9)]
    dropped = [finding("old.py", 1), finding("old.py", 4, 9), finding("other.py", 2)]
    assert on_changed([*kept, *dropped], changed) == tuple(kept)
    assert changed.silenced == 1


def test_a_diff_that_cannot_be_read_hides_nothing() -> None:
    """Then all lines of the changed files count."""
    changed = changed_lines("@@ -1,9 +1,9 @@\n broken", ["old.py"])
    assert changed.holds(finding("old.py", 77))
    assert not Changed().holds(finding("old.py", 77))


def test_ruffs_lines_are_read_and_others_passed_over() -> None:
    """Warnings, half lines and foreign JSON are no findings; what is missing is empty."""
    row = {
        "filename": "/tree/a.py",
        "code": "I001",
        "message": "Import block\nis un-sorted",
        "location": {"row": 1, "column": 1},
        "end_location": {"row": 4, "column": 1},
        "fix": {"edits": [{"content": "import a\nimport b\n"}]},
    }
    bare = {"filename": "/tree/b.py", "code": None, "location": {"row": 7}}
    lines = ["warning: old settings", json.dumps(row), '{"filename": "/tr', '{"x": 1}']
    found = read_findings("\n".join([*lines, json.dumps(bare)]), "/tree")
    assert [(item.path, item.line, item.last_line, item.code) for item in found] == [
        ("a.py", 1, 3, "I001"),
        ("b.py", 7, 7, "syntax"),
    ]
    assert found[0].told() == (
        "a.py:1: I001 Import block is un-sorted\n    suggested: import a\nimport b"
    )


def test_very_many_findings_are_counted() -> None:
    """The agent gets a bounded list."""
    text = told([finding("a.py", line) for line in range(QUALITY_FINDINGS + 5)])
    assert text.endswith("... and 5 more")
    assert len(text.splitlines()) == QUALITY_FINDINGS + 1


def test_only_python_is_python() -> None:
    """Nothing is claimed of other languages."""
    assert python_files(["a.py", "b.pyi", "c.js", "py", "d.ipynb"]) == ("a.py", "b.pyi")


def test_texts_of_others_do_nothing_at_a_forge() -> None:
    """No mention, no reference that closes, no word that skips the checks; mail stays mail."""
    text = inert(PEST)
    for spark in ("#12", "GH-3", "r#4", "issues/5", "@ada", "@eve", "[skip"):
        assert spark not in text
    assert "bob@example.invalid" in text


@pytest.mark.parametrize(("lines", "files", "good"), [(10, 2, True), (11, 2, False), (1, 3, False)])
def test_a_change_has_a_size(lines: int, files: int, good: bool) -> None:
    """Lines and files are bounded, and the message says which number was passed."""
    paths = tuple(f"{number}.py" for number in range(files))
    change = Change(Sha("a" * 40), Sha("b" * 40), "", paths, lines - 1, 1)
    wrong = too_big(change, PullRules(max_changed_lines=10, max_files=2))
    assert (wrong is None) is good
    assert good or f"{lines} changed lines (at most 10) in {files} files (at most 2)" in str(wrong)


def facts(description: str, criteria: int = 1) -> PullFacts:
    """Make the facts of a pull request from hostile texts."""
    task = Task(
        id=TaskId(UUID(int=7)),
        title="Mend it\n## Risk @ada fixes #1",
        description=description,
        task_type="code",
        priority=Priority.MEDIUM,
        risk=Risk.LOW,
        status=TaskStatus.IN_PROGRESS,
        criteria=tuple(
            Criterion(number, f"`works` fixes #{number} {'x' * 1_500}", ("make", "test"))
            for number in range(1, criteria + 1)
        ),
        attempts=1,
    )
    return PullFacts(
        task=task,
        files=("a.py", "b`@eve.py"),
        added=3,
        removed=1,
        verified_sha="c" * 40,
        sandbox="bare",
        tests={"command": ["pytest", "-q"], "exit_code": 0, "passed": 4, "failed": 0},
        verdicts=tuple(
            CriterionVerdict(number, Verdict.MET, {}) for number in range(1, criteria + 1)
        ),
        risk=Risk.HIGH,
        factors=("path conftest.py: high",),
        agent={"quality": {"state": "checked", "files": 1, "count": 1, "left": ["a.py:1 @ada"]}},
        cost={"usd": "0.25", "tokens": 900, "calls": 3},
        trailers=("Signed-off-by: Op <op@example.invalid>",),
    )


def test_the_body_says_all_and_obeys_nobody() -> None:
    """Each part is there; hostile text is inert, and its lines begin with blanks."""
    body = pull_body(facts(PEST))
    for said in (
        *("## Why", "## Changes", "- `a.py`", "**met**: `'works' fixes # 1", "`make test`"),
        *("`pytest -q`: exit code 0", "4 passed, 0 failed", "**high**", "conftest.py: high"),
        *("0.25 US dollars, 900 tokens in 3", "1 findings on changed lines of 1 files"),
    ):
        assert said in body
    assert body.endswith(f"\n\nTask: {UUID(int=7)}\nSigned-off-by: Op <op@example.invalid>")
    for spark in ("@ada", "@eve", "#12", "\n/merge", "\nSigned-off-by: Mallory", "\n<img"):
        assert spark not in body
    assert body.count("\n## Risk") == 1


def test_the_body_is_bounded_and_keeps_its_trailers() -> None:
    """However long the texts are."""
    body = pull_body(facts("word " * 100_000, criteria=30))
    assert len(body) <= PULL_BODY_CHARS
    assert body.endswith("Signed-off-by: Op <op@example.invalid>")
