"""Texts for commits and pull requests: bounded, without control characters or forged trailers."""

from __future__ import annotations

import re
from typing import Final

from juggernaut.domain.limits import FORGE_COMMENT_CHARS, LOG_MESSAGE_CHARS, TITLE_CHARS
from juggernaut.domain.model import Sha
from juggernaut.domain.redact import shorten

# Control characters, the marks that turn the direction of text, and lone surrogates.
UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
OUR_TRAILER: Final = re.compile(r"^[ \t]*juggernaut-[a-z]+[ \t]*:.*\n?", re.I | re.M)

TRAILERS: Final = re.compile(r"(?:[A-Za-z][A-Za-z-]*: [^\n]+(?:\n|\Z))+")


def clean_title(text: str) -> str:
    """Give one line of at most TITLE_CHARS."""
    line = " ".join(UNSEEN.sub(" ", text).split())
    return line[:TITLE_CHARS] or "Change without a title"


def clean_body(text: str) -> str:
    """Give at most LOG_MESSAGE_CHARS of text; lines that look like our trailers are left out."""
    plain = UNSEEN.sub("", text.replace("\r\n", "\n"))
    # The middle is cut, so that trailers at the end stay.
    return shorten(OUR_TRAILER.sub("", plain), LOG_MESSAGE_CHARS).strip()


def clean_comment(text: str) -> str:
    """Give a comment; what would look like a mark of ours in a page's source is taken apart."""
    plain = UNSEEN.sub("", text.replace("\r\n", "\n"))
    return plain.replace("<!--", "< !--")[:FORGE_COMMENT_CHARS].strip()


def commit_message(text: str) -> str:
    """Give the message of a commit on a task's branch."""
    first, _, rest = text.strip().partition("\n")
    body = clean_body(rest)
    return f"{clean_title(first)}\n\n{body}\n" if body else f"{clean_title(first)}\n"


def merge_message(title: str, body: str, number: int, head: Sha) -> str:
    """Give the message of a squash merge, with the trailers that name what was merged."""
    text = clean_body(body)
    # Git reads trailers from the last paragraph only, so those of the body are joined.
    gap = "\n" if TRAILERS.fullmatch(text.rpartition("\n\n")[2]) else "\n\n"
    middle = f"{text}{gap}" if text else ""
    trailers = f"Juggernaut-Pull: {number}\nJuggernaut-Head: {head}\n"
    return f"{clean_title(title)}\n\n{middle}{trailers}"
