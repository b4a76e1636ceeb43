"""What people are shown of a diff is the diff: signs and secrets are marked, no line is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggernaut.domain.diffs import judge_diff, read_judged
from juggernaut.domain.limits import DIFF_BYTES, SHOWN_DIFF_BYTES
from juggernaut.domain.model import Risk, Sha
from juggernaut.domain.pulls import Change
from juggernaut.domain.redact import MASK, Secret
from juggernaut.domain.risk import assess_diff
from juggernaut.domain.shown_diff import show_diff
from juggernaut.lifecycle.draft import draft_of, read_draft
from tests.domain.test_wording import POLICY

KEY_LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ+/FAKEFAKEFAKE"
TOKEN = "ghp_" + "FAKE" * 9
CODE = "os.system.call('rm -rf /srv')"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('+X = "\x1b]"\n', '+Y = "\x07"\n'),
        ("+# -----BEGIN PRIVATE KEY-----\n", "+# x\n"),
        ("+# bearer \n", "\n"),
        ("+# Authorization: Basic \n", "\n"),
        ("+url = '://:'\n", "+@\n"),
        ("+# \u2028\u202e\x00\x85\r", "\n"),
        ("+url = '://:';", "#@\n"),
        (f"+# -----BEGIN PRIVATE KEY----- {TOKEN}\n", f"+{KEY_LINE}\n+-----END PRIVATE KEY-----\n"),
    ],
)
def test_code_is_never_taken_out(before: str, after: str) -> None:
    """Whatever a terminal would not show, and whatever could begin a secret, stands around it."""
    diff = f"{before}+{CODE}\n{after}"
    shown, hidden = show_diff(diff)
    assert CODE in shown
    assert (shown.count("\n"), hidden) == (diff.count("\n"), 0)
    assert not {"\x1b", "\x07", "\x00", "\x85", "\u2028", "\u202e"} & set(shown)


def test_signs_are_written_out_and_lines_may_end_as_they_do() -> None:
    """One by one; a carriage return at a line's end stays."""
    diff = "+a\u200bb\u202ec\x1b[0m\r\n+d\re\r\n"
    assert show_diff(diff)[0] == ("+a<U+200B>b<U+202E>c<U+001B>[0m\r\n+d<U+000D>e\r\n")


@given(st.text(max_size=60))
def test_nothing_else_changes(text: str) -> None:
    """A text without such signs is shown as it is, and any other has as many lines."""
    shown, hidden = show_diff(text)
    assert (shown.count("\n"), hidden) == (text.count("\n"), 0)
    if text.isascii() and text.replace("\n", "").isprintable() and "://" not in text:
        assert shown == text


def test_secrets_are_masked_within_their_lines() -> None:
    """By value and by shape; where hidden signs part a known one, its line counts as not shown."""
    known = (Secret("FAKE-canary-0123456789"), Secret("FAKE-first-line\nFAKE-second-line"))
    diff = (
        f"+a = '{TOKEN}'; f()\n+b = 'FAKE-canary-0123456789'; g()\n+c: bearer {'FAKE' * 5}; h()\n"
        "+d = 'postgres://u:FAKE-pass.word@h/db'; i()\n+e = f'postgres://u:{fake}@h'\n"
        f"-----BEGIN RSA PRIVATE KEY-----\n+{KEY_LINE}\n+j()\ndiff --git a/x b/x\n+{KEY_LINE}\n"
    )
    shown, hidden = show_diff(diff, known)
    assert shown == (
        f"+a = '{MASK}'; f()\n+b = '{MASK}'; g()\n+c: bearer {MASK}; h()\n"
        f"+d = 'postgres://u:{MASK}@h/db'; i()\n+e = f'postgres://u:{{fake}}@h'\n"
        f"-----BEGIN RSA PRIVATE KEY-----\n+{MASK}\n+j()\ndiff --git a/x b/x\n+{KEY_LINE}\n"
    )
    assert hidden == 1  # of that key no end is there: it may be something else
    parted = (
        "+x\n+b = 'FAKE-can\u200bary-0123\x1b[1m456789'\n+FAKE-first-line\nFAKE-second-line\n+y"
    )
    assert show_diff(parted, known) == (f"+x\n+{MASK}\n+{MASK}\n\n+y", 3)


def test_a_long_diff_is_shown_whole_or_says_what_is_missing() -> None:
    """Signs that are written out cut nothing; lines that were cut make the diff high."""
    diff = "+" + "\u200b" * 300_000 + "\n+evil()\n+" + "\u200b" * 200_000
    shown, hidden = show_diff(diff)
    assert ("\n+evil()\n" in shown, hidden) == (True, 0)
    assert len(shown.encode()) <= SHOWN_DIFF_BYTES < DIFF_BYTES
    shown, hidden = show_diff("+abcdefgh\n" * 9 + "+evil()", limit=50)
    assert shown.endswith("\n+abcdefgh\n[5 lines of this diff are not shown]")
    found = assess_diff(Risk.LOW, POLICY, ["a.py"], judge_diff(diff, hidden), [])
    assert (found.risk, found.factors) == (
        Risk.HIGH,
        ("5 lines of this diff are not shown: high",),
    )


def test_what_is_judged_is_not_masked() -> None:
    """Two tokens look alike behind a mask, and an assertion on them is another one."""
    diff = "--- a/tests/t.py\n+++ b/tests/t.py\n@@ -1 +1 @@\n-assert f('{}')\n+assert f('{}')\n"
    first, second = (
        draft_of(
            Change(Sha("1"), Sha("2"), diff.format(TOKEN, now), ("tests/t.py",), 1, 1),
            *(Sha("1"), {}, ()),
        )
        for now in (TOKEN, TOKEN + "x")
    )
    assert MASK in first.diff
    assert (first.judged.weakened, second.judged.weakened) == ((), ("tests/t.py",))
    assert not first.same_change(second)
    assert read_draft(second.facts()) == second


def test_the_ledger_gives_back_what_was_judged() -> None:
    """An entry that lacks it is judged by the diff in it, and by the lines that this has lost."""
    diff = "--- a/tests/t.py\n+++ b/tests/t.py\n@@ -1,2 +1 @@\n-assert f()\n-def test_a():\n+x\n"
    judged = judge_diff(diff, 2)
    assert read_judged(judged.facts(), "", 3) == judged
    assert (judged.before, judged.lost_tests) == (("tests/t.py",), 1)
    assert judged.weakened == ("tests/t.py",)
    assert read_judged(None, diff, 3) == judge_diff(diff)
    assert read_judged(None, diff, 7).hidden == 4
