"""A goal on the sample repository, for a model that is reached over a wire."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import yaml

from juggernaut.app.demo.sample import script_text, write_sample

PYTHON = sys.executable
# No purpose is on a wire; these words are in what the roles ask.
OPENINGS = {"plan": "Turn the goal below into tasks", "code": "Change the code in this work tree"}


def sample_checkout(folder: Path) -> Path:
    """Write the demo's sample repository as a person's checkout."""
    asyncio.run(write_sample(folder))
    return folder


def sample_bare(folder: Path) -> Path:
    """Write the sample repository as a bare one, which takes merges."""
    git(
        folder,
        "clone",
        "--quiet",
        "--bare",
        str(sample_checkout(folder / "checkout")),
        "origin.git",
    )
    return folder / "origin.git"


def wire_script(file: Path) -> Path:
    """Write the demo's conversations for a plan of one code task, told apart by their words.

    One more turn asks the sandbox for its environment: the model's key must not be in it.
    """
    demo: dict[str, Any] = yaml.safe_load(script_text())
    kept = [part for part in demo["conversations"] if part["purpose"] in OPENINGS]
    for part in kept:
        part["contains"] = [OPENINGS[part.pop("purpose")]]
    (plan, code) = kept
    tasks = plan["turns"][0]["tools"][0]["arguments"]["tasks"]
    tasks[:] = [task for task in tasks if task["task_type"] == "code"]
    look = {"argv": [PYTHON, "-c", "import os; print(dict(os.environ))"], "timeout_seconds": 30}
    code["turns"].insert(
        2, {"text": "The environment.", "tools": [{"name": "run", "arguments": look}]}
    )
    file.write_text(yaml.safe_dump({**demo, "conversations": kept}), encoding="utf-8")
    return file


def git(folder: str | Path, *argv: str) -> str:
    """Ask git about a repository."""
    command = ["git", "-c", "safe.directory=*", "-C", str(folder), *argv]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def suite_is_green(repository: str | Path, sha: str, folder: Path) -> bool:
    """Run the sample's tests at a commit, in a clone of its own."""
    subprocess.run(
        ["git", "clone", "--quiet", str(repository), str(folder)], check=True, capture_output=True
    )
    git(folder, "checkout", "--quiet", sha)
    ended = subprocess.run(
        [PYTHON, "-m", "unittest", "-q"], cwd=folder, capture_output=True, check=False
    )
    return ended.returncode == 0


async def everything_stored(connection: asyncpg.Connection[asyncpg.Record]) -> str:
    """Give every row of every table as text."""
    tables = await connection.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname IN ('public', 'juggernaut')"
    )
    found = []
    for table in tables:
        rows = await connection.fetch(f"SELECT t::text AS line FROM {table['name']} t")
        found += [str(row["line"]) for row in rows]
    return "\n".join(found)


def read_facts(value: object) -> Mapping[str, Any]:
    """Read a jsonb column as the driver gives it."""
    facts: dict[str, Any] = json.loads(str(value))
    return facts
