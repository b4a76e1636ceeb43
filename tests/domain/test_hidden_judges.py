"""Whatever judges a change, and whatever of it nobody can read, is not changed unseen."""

from __future__ import annotations

import pytest

from juggernaut.domain.diffs import judge_diff, read_judged
from juggernaut.domain.judging import named_judges
from juggernaut.domain.model import Risk
from juggernaut.domain.redact import MASK
from juggernaut.domain.risk import assess_diff
from juggernaut.domain.shown_diff import show_diff
from tests.domain.test_wording import POLICY

PAYLOAD = "aW1wb3J0IG9zO29zLnN5c3RlbSgncm0gLXJmIC8nKSAjIGFuZCBtb3Jl"
BEGIN, END = (f"+# -----{mark} PRIVATE KEY-----\n" for mark in ("BEGIN", "END"))
SHELL = ("sh", "-c")


@pytest.mark.parametrize(
    ("check", "path"),
    [
        (("./check.sh",), "check.sh"),
        ((*SHELL, "sh check.sh"), "check.sh"),
        ((*SHELL, "sh ./check.sh"), "check.sh"),
        (("sh", "./ci/../check.sh"), "check.sh"),
        (("sh", "ci//check.sh"), "ci/check.sh"),
        ((*SHELL, "cd ci && ./check.sh"), "ci/check.sh"),
        ((*SHELL, "true;sh<check.sh>x"), "check.sh"),
        ((*SHELL, "$(cat check.sh)"), "check.sh"),
        ((*SHELL, 'A=1 sh ch"ec"k.sh'), "check.sh"),
        ((*SHELL, "sh ch\\eck.sh"), "check.sh"),
        ((*SHELL, "sh ${X:-check.sh}"), "check.sh"),
        ((*SHELL, "for f in ci/*.sh; do sh $f; done"), "ci/check.sh"),
        ((*SHELL, "sh 'my check.sh'"), "my check.sh"),
        (("run", "--with=ci/check.sh"), "ci/check.sh"),
        (("python", "-m", "ci.check"), "ci/check.py"),
        (("python", "-m", "pytest", "./tests/test_a.py::test_b"), "tests/test_a.py"),
        (("sh", "ci/check.sh"), "ci"),
        (("make", "-s", "verify"), "Makefile"),
        (("make", "-fci.x"), "ci.x"),
        ((*SHELL, "make verify"), "rules/all.mk"),
        (("npm", "test"), "package.json"),
        (("npx", "jest"), "web/jest.config.js"),
        (("cargo", "test"), ".cargo/config.toml"),
        (("just", "check"), "Justfile"),
        (("tox", "-q"), "tox.ini"),
    ],
)
def test_a_judge_is_found_in_its_command(check: tuple[str, ...], path: str) -> None:
    """In a shell's line, behind folders, quotes and options, and what a runner reads."""
    found = assess_diff(Risk.LOW, POLICY, [path], judge_diff("", 0, [path]), [check])
    assert f"changes {path}, which judges this task: high" in found.factors


@pytest.mark.parametrize(
    ("check", "path"),
    [
        (("python", "-m", "pytest", "-q"), "slug.py"),
        (("python", "-m", "pytest", "tests"), "tests/test_a.py"),
        ((*SHELL, "python test_a.py"), "test_a.py"),
        (("python", "-c", "from slug import slug; assert slug('a b')"), "slug.py"),
        ((*SHELL, "ruff check *.py && pytest -q"), "slug.py"),
        (("make", "test"), "src/make.py"),
    ],
)
def test_ordinary_work_is_as_low_as_before(check: tuple[str, ...], path: str) -> None:
    """Code that a check imports or reads is what the task is about."""
    assert named_judges([check], [path], [path]) == ()
    assert named_judges([("sh", "check.sh")], ["check.sh"], []) == ()  # a new one was asked for
    assert named_judges([("make", "x")], ["GNUmakefile"], []) == ("GNUmakefile",)


@pytest.mark.parametrize(
    "head",
    [
        "diff --git a/{0} b/{0}\nold mode 100644\nnew mode 100755\n",
        "diff --git a/{0} b/{0}\ndeleted file mode 100644\nindex 1..0\n",
        "diff --git a/{0} b/{0}\nindex 1..2 100644\nBinary files a/{0} and b/{0} differ\n",
    ],
)
@pytest.mark.parametrize("path", ["check.sh", "a b/check.sh"])
def test_a_change_without_lines_has_a_path(head: str, path: str) -> None:
    """Git's head of the file names it, also in a diff that the ledger kept."""
    assert judge_diff(head.format(path)).before == (path,)


def test_what_is_no_text_is_named_and_high() -> None:
    """The ledger gives it back."""
    judged = judge_diff("", 0, ["a"], ["deploy.sh"])
    found = assess_diff(Risk.LOW, POLICY, ["deploy.sh"], judged, [])
    assert found.factors == ("deploy.sh is not shown as text: high",)
    assert read_judged(judged.facts(), "", 0) == judged
    assert show_diff("+caf<0xE9>\n+<0x81><0x82><0x83><0x84>\n")[1] == 1


def test_names_are_no_tokens() -> None:
    """What could be run is shown; a key of that shape is not."""
    names = "+sk-learn-contrib-tools==1.0\n+./sk-deploy-everything-now\n"
    assert show_diff(names) == (names, 0)
    assert show_diff("+sk-" + "FAKE1" * 5)[0] == f"+{MASK}"
    assert show_diff("+sk-proj-" + "abcde" * 5)[0] == f"+{MASK}"


@pytest.mark.parametrize(
    ("lines", "hidden"),
    [
        (f"{BEGIN}+P = '{PAYLOAD}'\n", 1),
        (f"{BEGIN}+{PAYLOAD}\n", 1),
        (f"{BEGIN}+P = '{PAYLOAD}'\n{END}", 1),
        (f"{BEGIN}+{PAYLOAD}\n{END}", 0),
        (f"{BEGIN}+{PAYLOAD}\ndiff --git a/x b/x\n{END}", 1),
    ],
)
def test_only_a_whole_key_is_masked_without_a_word(lines: str, hidden: int) -> None:
    """Between a beginning without an end, and beside other signs, it may be what is run."""
    shown, count = show_diff(lines)
    assert PAYLOAD not in shown
    assert count == hidden
