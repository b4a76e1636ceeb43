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


@pytest.mark.parametrize("what", SAME)
def test_a_test_that_says_as_much_does_not(what: str) -> None:
    """New tests, moved assertions and new names are ordinary work."""
    assert risk_of("tests/test_a.py", SAME[what]) is Risk.LOW


@pytest.mark.parametrize("what", WEAKER)
def test_code_and_new_files_are_not_tests(what: str) -> None:
    """What is no test has no assertion to lose, and a new file none that was there before."""
    assert risk_of("src/latest.py", WEAKER[what]) is Risk.LOW
    assert risk_of("tests/test_new.py", WEAKER[what], old="/dev/null") is Risk.LOW
