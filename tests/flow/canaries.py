"""Canaries: secrets that are obviously made up, and a search for them in everything that is left.

How a canary may be written is worked out here a second time, apart from the code under test.
"""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

import asyncpg

TOKEN = "gh" + "p_" + "FAKEcanary" * 4  # no secret of the process: known by its shape alone
COLUMNS = """
SELECT format('SELECT %I::text FROM %I.%I WHERE %I IS NOT NULL', column_name, table_schema,
              table_name, column_name) AS statement, table_name || '.' || column_name AS place
  FROM information_schema.columns JOIN information_schema.tables
       USING (table_catalog, table_schema, table_name)
 WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')
"""


@lru_cache(maxsize=64)
def spellings(secret: str) -> dict[str, bytes]:
    """Give every form that is searched for, by its name."""
    raw = secret.encode()
    found = {
        "plain": raw,
        "reversed": raw[::-1],
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "url": quote(secret, safe="").encode(),
        "url of each sign": "".join(f"%{byte:02x}" for byte in raw).encode(),
    }
    for before in range(3):
        # Whatever stands before and after it: only the groups of four that are its own.
        first, last = (3 - before) % 3, (len(raw) - (3 - before) % 3) // 3 * 3
        inner = raw[first : first + last]
        found[f"base64 at {before}"] = base64.b64encode(inner)
        found[f"base64url at {before}"] = base64.urlsafe_b64encode(inner)
    return found


def shouted(secrets: Iterable[str]) -> str:
    """Give one text with every secret in every form, some of them in colour or in a login."""
    lines = []
    for secret in secrets:
        forms = spellings(secret)
        lines += [form.decode() for name, form in forms.items() if "base64" not in name]
        lines += [base64.b64encode(b"a" * n + secret.encode() + b"zz").decode() for n in range(3)]
        lines += [f"\x1b[31m{secret}\x1b[0m", f"{secret[:7]}\x1b[1m\x1b[K{secret[7:]}"]
        lines += [base64.b64encode(f"user:{secret}\n".encode()).decode()]
    return "\n".join([*lines, f"{TOKEN} \x1b[31m{TOKEN}\x1b[0m"])


def hidden_program(text: str) -> str:
    """Give a program that prints a text and does not hold it in any form that is searched for."""
    numbers = [ord(sign) ^ 1 for sign in text]
    return f'print("".join(chr(number ^ 1) for number in {numbers}))'


@dataclass(frozen=True, slots=True)
class Search:
    """Looks for canaries; what it gives is empty, or says which one stands where in which form."""

    canaries: dict[str, str]

    def __call__(self, place: str, content: bytes | str) -> list[str]:
        """Search one output."""
        raw = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
        shape = [f"the token in {place}"] if TOKEN.encode() in raw else []
        return shape + [
            f"{name} as {form} in {place}"
            for name, secret in self.canaries.items()
            for form, written in spellings(secret).items()
            if written in raw
        ]

    async def database(self, connection: asyncpg.Connection[asyncpg.Record]) -> list[str]:
        """Search every column of every table, as text."""
        hits: list[str] = []
        columns = await connection.fetch(COLUMNS)
        assert columns, "there is no table"
        for column in columns:
            rows = await connection.fetch(column["statement"])
            hits += self(column["place"], "\n".join(row[0] for row in rows))
        return hits

    def folder(self, folder: Path) -> list[str]:
        """Search every file below a folder."""
        files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
        return [hit for file in files for hit in self(str(file), file.read_bytes())]

    def repository(self, repository: Path) -> list[str]:
        """Search all commits of all branches: messages, authors, diffs; and every object."""
        said = ""
        for ask in (
            ("log", "--all", "--patch", "--format=fuller", "--show-notes"),
            ("cat-file", "--batch-all-objects", "--batch"),
        ):
            command = ["git", "-c", "safe.directory=*", "-C", str(repository), *ask]
            ended = subprocess.run(command, capture_output=True, check=True)
            assert ended.stdout, "there is no commit"
            said += ended.stdout.decode("utf-8", "replace")
        return self(repository.name, said)

    def processes(self, root: int) -> list[str]:
        """Search what the system tells of a process and all below it: arguments, environment."""
        hits = []
        for pid in (root, *below(root)):
            for name in ("cmdline", "environ"):
                try:
                    content = Path(f"/proc/{pid}/{name}").read_bytes()
                except (OSError, ProcessLookupError):
                    continue
                hits += self(f"{name} of process {pid} ({content[:60]!r})", content)
        return hits


def below(root: int) -> Iterator[int]:
    """Give the processes below a process."""
    try:
        tasks = list(Path(f"/proc/{root}/task").iterdir())
        words = " ".join((task / "children").read_text(encoding="ascii") for task in tasks)
    except OSError:
        return
    for word in words.split():
        yield int(word)
        yield from below(int(word))
