"""Buffers that a poll touches: stable where milliseconds are not."""

from __future__ import annotations

import json
from typing import Final, LiteralString

import asyncpg

EXPLAIN: LiteralString = """
EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
SELECT task, fence FROM juggernaut.claim_v1($1, $2, $3)
"""
WARM_CALLS: Final = 6


async def poll_buffers(
    worker: asyncpg.Connection[asyncpg.Record],
    session: object,
    secret: object,
    slots: int,
    warm: int = WARM_CALLS,
) -> int:
    """Give the shared buffers of the last of `warm` claims; what they claimed is rolled back."""
    touched = 0
    for _ in range(warm):
        transaction = worker.transaction()
        await transaction.start()
        try:
            plan = json.loads(await worker.fetchval(EXPLAIN, session, secret, slots))[0]["Plan"]
        finally:
            await transaction.rollback()
        touched = int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])
    return touched
