"""A diff as people are shown it: nothing is taken out of it without a mark, and no line at all.

Signs that are not seen are written out one by one. A secret is masked within its line, and only
where nothing can stand that is code: what people approve is what is merged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from juggernaut.domain.limits import SHOWN_DIFF_BYTES
from juggernaut.domain.redact import ESCAPES, LINE_TOKENS, MASK, Secret, begun
from juggernaut.domain.secret_forms import forms

# As juggernaut.shown has them in the database; a carriage return may end a line.
_SIGNS: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\U00013430-\U00013440\U00016fe4\U0001bca0-\U0001bca3\U0001d159"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]|\r(?!\n|\\Z)"
)
# A password in an address: where it holds quotes, brackets or a shell's signs, it may be code.
_LED: Final = (
    re.compile(rf"({begun('[Bb]earer')}[ \t]+)[A-Za-z0-9._~+/=-]{{12,}}"),
    re.compile(r"([Aa]uthorization:[ \t]*[Bb]asic[ \t]+)[A-Za-z0-9._~+/=-]{12,}"),
    re.compile(r"(://[^\s:/@]{0,200}:)[A-Za-z0-9._~%+!*=,-]{1,500}(?=@)"),
)
_KEY: Final = re.compile(r"-----(BEGIN|END) [A-Z ]*PRIVATE KEY-----")
_KEY_LINE: Final = re.compile("[A-Za-z0-9+/=]{40,}")
_ONLY_KEY: Final = re.compile(r"[\s\"'#*/]*[A-Za-z0-9+/=]{40,}(?:\\n)?[\"',;+\\\s]*")
_NAME: Final = re.compile(r"sk(?:[-_](?:[a-z]{1,12}|[0-9]{1,4}))+")
# So many bytes in a row, written out, are nothing that people can read.
_BYTES: Final = re.compile("(?:<0x[0-9A-F]{2}>){4}")
_NEXT_FILE: Final = "diff --git "


def show_diff(
    diff: str, secrets: Iterable[Secret] = (), limit: int = SHOWN_DIFF_BYTES
) -> tuple[str, int]:
    """Give the shown form of a diff, and how many lines of it are not to be seen there."""
    found = forms(secret.reveal() for secret in secrets)
    text, hidden = _whole_lines(diff, found)
    for form in found:
        ends = form.count("\n")
        hidden += text.count(form) * (ends + 1) if ends else 0
        text = text.replace(form, MASK + "\n" * ends)
    for token in LINE_TOKENS:
        text = token.sub(_mask_token, text)
    for led in _LED:
        text = led.sub(rf"\1{MASK}", text)
    text, masked = _without_keys(text)
    hidden += masked + sum(_BYTES.search(line) is not None for line in text.split("\n"))
    text, cut = _bounded(text, limit)
    return text, hidden + cut


def _whole_lines(diff: str, found: Iterable[str]) -> tuple[str, int]:
    """Mask the whole line where signs that are not seen part a known secret; count such lines."""
    if not _SIGNS.search(diff):
        return diff, 0
    lines, hidden = diff.split("\n"), 0
    for number, line in enumerate(lines):
        bare = _SIGNS.sub("", ESCAPES.sub("", line))
        if bare != line and any(form in bare and form not in line for form in found):
            lines[number] = line[:1] + MASK
            hidden += 1
    return "\n".join(lines), hidden


def _without_keys(text: str) -> tuple[str, int]:
    """Mask what looks like a key between the lines that begin and end a private one.

    Counts the masked lines that may be something else: where no end follows in that file, or
    more stands in the line than a key's own lines have.
    """
    if not _KEY.search(text):
        return text, 0
    lines, inside, hidden = text.split("\n"), False, 0
    open_lines = 0  # masked since the last beginning, and no end yet
    for number, line in enumerate(lines):
        marks = [mark[1] for mark in _KEY.finditer(line)]
        if line.startswith(_NEXT_FILE):
            inside, hidden, open_lines = False, hidden + open_lines, 0
        if inside or "BEGIN" in marks:
            lines[number] = line[:1] + _KEY_LINE.sub(MASK, line[1:])
            if lines[number] != line:
                plain = _ONLY_KEY.fullmatch(line[1:]) is not None
                hidden, open_lines = hidden + (not plain), open_lines + plain
        if marks:
            inside = marks[-1] == "BEGIN"
            open_lines = open_lines if inside else 0
    return "\n".join(lines), hidden + open_lines


def _mask_token(found: re.Match[str]) -> str:
    """Mask a token, and no name of words that begins like one: it may be what is run."""
    return found[0] if _NAME.fullmatch(found[0]) else MASK


def _bounded(text: str, limit: int) -> tuple[str, int]:
    """Write out the signs that are not seen, shorter in a long text; cut whole lines at the end.

    Gives how many lines were cut.
    """
    shown = _SIGNS.sub(lambda sign: f"<U+{ord(sign[0]):04X}>", text)
    if _size(shown) > limit:
        shown = _SIGNS.sub("\ufffd", text)
    if _size(shown) <= limit:
        return shown, 0
    lines, kept, used = shown.split("\n"), 0, 0
    while kept < len(lines) and used + _size(lines[kept]) + 1 <= limit:
        used += _size(lines[kept]) + 1
        kept += 1
    cut = len(lines) - kept
    return "\n".join([*lines[:kept], f"[{cut} lines of this diff are not shown]"]), cut


def _size(text: str) -> int:
    """Count the bytes that a text has in the database."""
    return len(text.encode())
