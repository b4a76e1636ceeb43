"""Whether the words of a rule occur: a phrase in a text, a pattern in a command.

A text is read once, into the places of its words; each phrase is then looked up in time that grows
with the places of its own words. Patterns are read in the same way as what they are compared with,
so a pattern always matches itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

GAP: Final = 4  # so many other words may stand between two words of a phrase
BASE_CHARS: Final = 2  # as in goes; a shorter rest is no word that lost its ending
CLUSTER_CHARS: Final = 5  # "-rf" is -r and -f; a pattern's "-delete" is one flag
KNOWN_PHRASES: Final = 4096
AMOUNT: Final = "$"
_PART_BITS: Final = 24  # of a place: which part of its word; no text has more of them

Places: TypeAlias = Mapping[str, Sequence[int]]

# A sign of money is a word beside an amount, and stands before it: $5 and 5 € are two words, $HOME
# is one. An amount is one word however it is grouped and counted: 1,234,567.89 and 5 million.
_MONEY: Final = "[$\u00a2-\u00a5\u20a0-\u20cf]"
_CURRENCY: Final = "(?:usd|eur|gbp|jpy|chf|dollars?|euros?|pounds?|yen)"
_NUMBER: Final = r"(?:\d{1,3}(?: \d{3}(?!\d))+(?:[.,]\d+)?|\d+(?:[.,'\u2019]\d+)*)"
_SCALE: Final = (
    r"(?:[\s-]{0,9}(?:k|mm?|mn|mio|mrd|bn?|tn?|hundred|thousand|million|billion|trillion)s?"
    rf"(?=[\W_]|\Z|{_CURRENCY}(?:[\W_]|\Z)))?"
)
_WORD: Final = re.compile(
    rf"(?P<before>{_MONEY})(?=\s*[-+~]?[.,]?\d)"
    rf"|(?P<number>{_NUMBER}{_SCALE})(?=[\W_]|\Z|{_CURRENCY}(?:[\W_]|\Z))"
    rf"(?P<after>\s*{_MONEY})?"
    rf"|{_CURRENCY}(?=\d)"
    r"|[^\W_]+"
)
_PARTS: Final = re.compile(r"[^\W_]+")
# What no reader sees, beside format signs and marks: fillers have a width and stand for a blank.
_FILLERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0\U0001d159")
_IGNORED: Final = frozenset("\u2065") | {
    chr(code)
    for first, last in ((0xFFF0, 0xFFF9), (0xE0000, 0xE1000))
    for code in range(first, last)
}
_SEEN_CONTROLS: Final = frozenset("\t\n\r")
_ENDINGS: Final = (
    ("s", ""),
    ("es", ""),
    ("ies", "y"),
    ("d", ""),
    ("ed", ""),
    ("ied", "y"),
    ("ing", ""),
    ("ing", "e"),
)
_BETWEEN: Final = re.compile(r"[\s;|&()`$\"'<>{}]+")
_TOP: Final = re.compile(r"(/|~)[/.*]*")


@dataclass(frozen=True, slots=True)
class Command:
    """The words of a command in their order, and its flags, which have none."""

    words: tuple[str, ...]
    flags: frozenset[str]


def read_text(text: str) -> tuple[Places, ...]:
    """Give the places of a text's words: of each as it stands, and without its ending.

    Where characters are invisible there are more readings: they part words, they do not, and only
    those do that have a width.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    signs = set(folded)
    hidden, wide = {char for char in signs if _is_hidden(char)}, signs & _FILLERS
    if not hidden and not wide:
        return (_places(folded),)
    parting = {frozenset[str](), frozenset(wide), frozenset(hidden | wide)}
    read = [
        folded.translate({ord(char): " " if char in blanks else "" for char in hidden | wide})
        for blanks in sorted(parting, key=len)
    ]
    return tuple(_places(reading) for reading in dict.fromkeys(read))


def _is_hidden(char: str) -> bool:
    """Say whether a character has no width of its own: format signs, marks, controls, ignored."""
    kind = unicodedata.category(char)
    if kind == "Cc":
        return char not in _SEEN_CONTROLS
    return kind in {"Cf", "Mn", "Me"} or char in _IGNORED


@lru_cache(KNOWN_PHRASES)
def phrase_words(phrase: str) -> tuple[str, ...]:
    """Give the words of a phrase, none if it holds only punctuation; $1 is any amount.

    >>> phrase_words("transfer $1 today")
    ('transfer', '$', 'today')
    """
    words = list(_words(unicodedata.normalize("NFKC", phrase).casefold()))
    before = [(), *words]
    kept = (word for word, last in zip(words, before, strict=False) if last != (AMOUNT,))
    return tuple(part for word in kept for part in word)


def says(readings: Iterable[Places], phrase: str, gap: int) -> bool:
    """Say whether a phrase's words occur in their order, at most `gap` others between two of them.

    >>> says(read_text("Deploying the app to production"), "deploy to production", 2)
    True
    """
    return any(_occurs(places, phrase_words(phrase), gap) for places in readings)


def read_command(argv: Sequence[str]) -> Command:
    """Give the words of a command: a shell's signs part them, of a path its last part counts."""
    words: list[str] = []
    flags: set[str] = set()
    for word in (word for part in argv for word in _BETWEEN.split(part.casefold()) if word):
        words += _parts(word)
        last = words[-1]
        if last.startswith("-") and last.strip("-"):
            flags.add(last)
            flags.update(f"-{char}" for char in ("" if last.startswith("--") else last[1:]))
    return Command(tuple(words), frozenset(flags))


@lru_cache(KNOWN_PHRASES)
def command_pattern(pattern: str) -> Command:
    """Read a rule's pattern; neither words nor flags if nothing of it can occur.

    Flags may stand anywhere in a command and in any order: `rm -rf /` is also `rm / -f -r`.
    """
    read = read_command([pattern])
    given = [word for word in read.words if word in read.flags]
    clusters = {word for word in given if not word.startswith("--") and len(word) <= CLUSTER_CHARS}
    single = {f"-{char}" for word in clusters for char in word[1:]}
    plain = tuple(word for word in read.words if word not in read.flags)
    return Command(plain, frozenset({*given} - clusters | single))


def runs(command: Command, pattern: str) -> bool:
    """Say whether a pattern's flags and, in their order, its words occur in a command."""
    wanted = command_pattern(pattern)
    if not wanted.flags <= command.flags:
        return False
    rest = iter(command.words)
    return all(any(word == want for word in rest) for want in wanted.words)


def _parts(word: str) -> Iterator[str]:
    """Give the last part of a path; before it `/` or `~` for the root, a home, or all in them."""
    top = _TOP.fullmatch(word)
    if top:
        yield top[1]
    last = word.rstrip("/").rpartition("/")[2]
    if last and last != "~":
        yield last


def _words(folded: str) -> Iterator[tuple[str, ...]]:
    """Give the words of a folded text, an amount with its parts: 5 and million of 5 million.

    Every sign of money is the same, and stands before its amount.
    """
    for found in _WORD.finditer(folded):
        if found["before"] or found["after"]:
            yield (AMOUNT,)
        if not found["before"]:
            yield tuple(_PARTS.findall(found["number"])) if found["number"] else (found.group(),)


def _places(folded: str) -> Places:
    """Give where each word stands, under each of its forms; parts of a word have its place."""
    forms: dict[str, frozenset[str]] = {}
    places: dict[str, list[int]] = {}
    for number, parts in enumerate(_words(folded)):
        for place, word in enumerate(parts, start=number << _PART_BITS):
            if word not in forms:
                forms[word] = frozenset(_forms(word))
            for form in forms[word]:
                places.setdefault(form, []).append(place)
    return places


def _forms(word: str) -> Iterator[str]:
    """Give a word and what it may be without its ending: dropped, droppe, dropp and drop."""
    yield word
    for ending, instead in _ENDINGS:
        if not word.endswith(ending):
            continue
        base = word.removesuffix(ending)
        if len(base) < BASE_CHARS:
            continue
        yield base + instead
        if (
            len(base) > BASE_CHARS
            and ending in ("ed", "ing")
            and not instead
            and base[-1] == base[-2]
        ):
            yield base[:-1]


def _occurs(places: Places, wanted: Sequence[str], gap: int) -> bool:
    """Follow a phrase from word to word; linear in how often its words stand there."""
    if not wanted or any(word not in places for word in wanted):
        return False
    ends = places[wanted[0]]
    for word in wanted[1:]:
        ends = _reached(ends, places[word], gap)
        if not ends:
            return False
    return True


def _reached(ends: Sequence[int], nexts: Sequence[int], gap: int) -> list[int]:
    """Give the places of the next word that the nearest end before them is near enough to."""
    found = []
    passed = 0
    for place in nexts:
        while passed < len(ends) and ends[passed] < place:
            passed += 1
        if passed and (place >> _PART_BITS) - (ends[passed - 1] >> _PART_BITS) - 1 <= gap:
            found.append(place)
    return found
