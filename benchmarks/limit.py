"""L, the limit: claim and complete as two transactions on a minimal table, by pgbench."""

from __future__ import annotations

import asyncio
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final, LiteralString
from urllib.parse import unquote, urlsplit

from benchmarks.scratch import Scratch, connected
from juggernaut.app.local_postgres.binaries import candidate_folders

CLIENTS: Final = 10
TABLE: LiteralString = """
CREATE TABLE IF NOT EXISTS limit_jobs (
  id bigint PRIMARY KEY, prio integer NOT NULL, state integer NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS limit_ready ON limit_jobs (prio, id) WHERE state = 0;
TRUNCATE limit_jobs
"""
FILL: LiteralString = """
INSERT INTO limit_jobs SELECT n, n % 4 FROM generate_series(1, $1::bigint) n
"""
SCRIPT: Final = """
UPDATE limit_jobs SET state = 1 WHERE id = (
  SELECT id FROM limit_jobs WHERE state = 0 ORDER BY prio, id LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id \\gset
UPDATE limit_jobs SET state = 2 WHERE id = :id;
"""
TPS = re.compile(r"tps = ([0-9.]+)")


def pgbench() -> str | None:
    """Find pgbench beside the server's own programs."""
    for folder in candidate_folders():
        if (folder / "pgbench").exists():
            return str(folder / "pgbench")
    return None


async def measure_limit(scratch: Scratch, database: str, seconds: int, rows: int) -> float:
    """Give the jobs a second that pgbench claims and completes."""
    program = pgbench()
    if program is None:
        raise FileNotFoundError("no pgbench beside the PostgreSQL programs")
    async with connected(scratch.url(database)) as admin:
        await admin.execute(TABLE)
        await admin.execute(FILL, rows)
        await admin.execute("VACUUM ANALYZE limit_jobs")
    return await asyncio.to_thread(_run, program, scratch.url(database), seconds)


def _run(program: str, url: str, seconds: int) -> float:
    """Run pgbench with ten prepared clients."""
    place = urlsplit(url)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "claim.sql"
        script.write_text(SCRIPT.lstrip(), encoding="utf-8")
        done = subprocess.run(
            [program, "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", str(seconds)]
            + ["-f", str(script), "-h", str(place.hostname), "-p", str(place.port)]
            + ["-U", unquote(place.username or ""), place.path.lstrip("/")],
            env={"PGPASSWORD": unquote(place.password or ""), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=seconds + 30,
            check=True,
        )
    found = TPS.search(done.stdout)
    if found is None:
        raise ValueError(f"pgbench gave no rate: {done.stdout[-300:]}")
    return float(found[1])
