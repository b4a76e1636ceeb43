"""A diff that lets an existing test say less is for people; one that adds tests is not."""

from pathlib import Path

import pytest
import yaml

from juggernaut.domain.model import Risk
from juggernaut.domain.risk import assess_diff, read_policy

POLICY = read_policy(
    yaml.safe_load((Path(__file__).resolve().parents[2] / "config/policy.yaml").read_text())
)
KEPT = "-    assert slug('a') == 'a'\n+        assert slug('a') == 'a'\n"
WEAKER = {
    "another expectation": "-    assert slug('a b') == 'a-b'\n+    assert slug('a b') == 'a_b'\n",
    "a weaker assertion": "-    self.assertEqual(f(), 1)\n+    self.assertTrue(f())\n",
    "an assertion less": "-    assert f()\n",
    "one of two": "-    assert f()\n-    assert f()\n+    assert f()\n",
    "a skip": '+    @unittest.skip("flaky")\n',
    "a mark": "+@pytest.mark.xfail\n",
    "JavaScript": "-  expect(f()).toBe(1);\n+  f();\n",
    "Rust": "+#[ignore]\n",
}
SAME = {
    "a test more": "+def test_new():\n+    assert f() == 2\n",
    "an assertion that moves": KEPT,
    "another name": "-def test_a():\n+def test_b():\n",
    "a name with skips in it": "+def test_skips_blank():\n+    assert f() == 2\n",
}


def risk_of(path: str, body: str, old: str | None = None) -> Risk:
    """Assess a diff of one file; `old` is what it was called before."""
    diff = f"--- {old or f'a/{path}'}\n+++ b/{path}\n@@ -1,9 +1,9 @@\n{body}"
    return assess_diff(Risk.LOW, POLICY, [path], diff, []).risk


@pytest.mark.parametrize("path", ["test_a.py", "tests/unit/a.py", "src/a_test.go", "web/a.spec.ts"])
@pytest.mark.parametrize("what", WEAKER)
def test_a_test_that_says_less_waits_for_a_person(path: str, what: str) -> None:
    """Whatever the language and wherever the tests live."""
    assert risk_of(path, WEAKER[what]) is Risk.HIGH


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("tests/test_\u00e9.py", '"a/tests/test_\\303\\251.py"'),
        ("tests/a b.py", "a/tests/a b.py\t"),
    ],
)
def test_git_quotes_a_name(path: str, named: str) -> None:
    """An unusual name is found all the same, also among those that judge the task."""
    body = WEAKER["an assertion less"]
    assert risk_of(path, body, old=named) is Risk.HIGH
    found = assess_diff(Risk.LOW, POLICY, [path], f"--- {named}\n+x\n", [[path]])
    assert found.factors == (f"changes {path}, which judges this task: high",)


@pytest.mark.parametrize(
    "line", ["+# \u2028-\u2028--- x", "+# \x0c-\x0c--- x", "+a\r-\r--- x", "--- a/x", "+++ b/x"]
)
def test_no_line_of_a_file_ends_it(line: str) -> None:
    """Neither a sign that ends lines elsewhere, nor a line that looks like a header."""
    added = line[0] == "+"
    hunk = f"@@ -1,{2 - added} +1,{int(added)} @@\n{line}\n-    assert f()\n"
    diff = f"--- a/tests/a.py\n+++ b/tests/a.py\n{hunk}"
    assert assess_diff(Risk.LOW, POLICY, [], diff, []).factors == ("weakens tests/a.py: high",)


@pytest.mark.parametrize("what", SAME)
def test_a_test_that_says_as_much_does_not(what: str) -> None:
    """New tests, moved assertions and new names are ordinary work."""
    assert risk_of("tests/test_a.py", SAME[what]) is Risk.LOW


@pytest.mark.parametrize("what", WEAKER)
def test_code_and_new_files_are_not_tests(what: str) -> None:
    """What is no test has no assertion to lose, and a new file none that was there before."""
    assert risk_of("src/latest.py", WEAKER[what]) is Risk.LOW
    assert risk_of("tests/test_new.py", WEAKER[what], old="/dev/null") is Risk.LOW
