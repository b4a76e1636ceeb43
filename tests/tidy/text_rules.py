"""The house rules that any text file can break. Each takes text and returns findings."""

import re
from pathlib import PurePosixPath

VAGUE_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "misc"})

UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|NotImplementedError)\b")

# Accounts that a container image or a sandbox may name; anybody else's home is a developer's.
NEUTRAL_ACCOUNTS = r"(?:agent|app|juggernaut|nobody|nonroot|runner|sandbox|user|worker)"
DEVELOPER_PATH = re.compile(rf"(?:/root/[\w.]|/(?:home|Users)/(?!{NEUTRAL_ACCOUNTS}\b)\w)")

REGISTRY_ADDRESS = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|--(?:extra-)?index-url|--find-links"
    r"|--trusted-host|\bfile://|\s@\s+https?://"
)

TOKEN_SHAPES = re.compile(
    r"""
      \bgh[opsu]_[A-Za-z0-9]{20,}
    | \bgithub_pat_\w{20,}
    | \bsk-(?:ant|or|proj|live)-[\w-]{12,}
    | \bsk-[A-Za-z0-9]{32,}
    | \bAKIA[0-9A-Z]{16}\b
    | \bxox[abpr]-[\w-]{10,}
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----\s+[A-Za-z0-9+/=]{40,}
    """,
    re.VERBOSE,
)

SQL_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
IN_SUBQUERY = re.compile(r"\bIN\s*\(\s*(?=SELECT\b|WITH\b)", re.IGNORECASE)
ROW_LOCK = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+)?UPDATE\b", re.IGNORECASE)


def vague_name(path: str) -> list[str]:
    """Find a file or folder whose name says nothing: its code belongs somewhere else."""
    parts = [PurePosixPath(part).stem for part in PurePosixPath(path).parts]
    return [
        f"{part}: a name that says nothing"
        for part in parts
        if VAGUE_NAMES & set(part.lower().split("_"))
    ]


def unfinished(text: str) -> list[str]:
    """Find notes to oneself and stubs."""
    return _matches(UNFINISHED, text)


def developer_paths(text: str) -> list[str]:
    """Find the home folder of whoever wrote the file."""
    return _matches(DEVELOPER_PATH, text)


def registry_addresses(text: str) -> list[str]:
    """Find an address that would send an install somewhere other than its user's registry."""
    return _matches(REGISTRY_ADDRESS, text)


def tokens(text: str) -> list[str]:
    """Find text shaped like a credential that does not say FAKE; the finding shows its start."""
    return [
        f"{_line(text, match.start())}: {match.group().strip()[:8]}..."
        for match in TOKEN_SHAPES.finditer(text)
        if "FAKE" not in match.group().upper()
    ]


def lock_inside_in(sql: str) -> list[str]:
    """Find IN (SELECT ... FOR UPDATE): a nested loop may run it per row and lock more than asked.

    The form of choice is = ANY (ARRAY (SELECT ...)), which is evaluated once.
    """
    plain = SQL_COMMENT.sub(lambda comment: re.sub(r"[^\n]", " ", comment.group()), sql)
    return [
        f"{_line(plain, match.start())}: IN (SELECT ... FOR UPDATE)"
        for match in IN_SUBQUERY.finditer(plain)
        if ROW_LOCK.search(_inside_brackets(plain, match.end()))
    ]


def _inside_brackets(text: str, start: int) -> str:
    """Return the text from start up to the bracket that closes the one before it."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place]
    return text[start:]


def _line(text: str, place: int) -> int:
    """Return the line number of a place in a text."""
    return text.count("\n", 0, place) + 1


def _matches(pattern: re.Pattern[str], text: str) -> list[str]:
    """Return one finding for each match of a pattern."""
    return [
        f"{_line(text, match.start())}: {match.group().strip()}" for match in pattern.finditer(text)
    ]
