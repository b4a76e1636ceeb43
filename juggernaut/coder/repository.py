"""The map of a repository, for the first message: what there is, in a bounded number of tokens."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import sys
from pathlib import Path
from typing import Final

from juggernaut.coder import bounds, grep, mapping
from juggernaut.domain import limits
from juggernaut.domain.frame import NONCE_CHARS, frame
from juggernaut.ports import Sandbox

_WORD: Final = re.compile(r"[\w./-]{3,120}")
_PART: Final = re.compile(r"[^\W_]+")
_HEAD: Final = (
    "A map of the repository before any change: files with their size, and what a Python file"
    " defines. A long one shows folders and the files that the task may be about."
)


async def map_of(tree: Path, sandbox: Sandbox, task: str, most_bytes: int) -> str:
    """Give the map of a work tree, framed; empty when none could be made.

    It is made in the sandbox, once with what Python files define, and if that fails without.
    """
    program = await asyncio.to_thread(Path(mapping.__file__).read_text)
    for parsed in (limits.MAP_PARSED_FILES, 0):
        asked = {
            "words": words_of(task),
            "bytes": most_bytes,
            "files": limits.MAP_FILES,
            "parsed": parsed,
            "parsed_bytes": limits.MAP_PARSED_BYTES,
            "passed_over": sorted(grep.PASSED_OVER),
        }
        argv = [sys.executable, "-I", "-S", "-W", "ignore", "-c", program, json.dumps(asked)]
        result = await sandbox.run(argv, tree, timeout_seconds=limits.MAP_SECONDS)
        if result.exit_code == 0 and not result.timed_out:
            found = bounds.clean(result.output)
            return f"{_HEAD}\n{frame(found, 'the repository', secrets.token_hex(NONCE_CHARS))}"
    return ""


def words_of(task: str) -> list[str]:
    """Give what of a task can name a file: paths as they are written, and single words."""
    said: dict[str, None] = {}
    for text in _WORD.findall(task):
        said[text.strip("./-")] = None
        said.update(dict.fromkeys(part.lower() for part in _PART.findall(text)))
    return list(said)[: limits.MAP_WORDS]
