"""Rows in bulk: user triggers are off while they are loaded, and their columns computed in SQL."""

from __future__ import annotations

from typing import Final, LiteralString, TypeAlias

import asyncpg

COMMON: Final = ("command", "code", "test")
ALL_TYPES: Final = (
    *("planning", "code", "test", "verification", "documentation"),
    *("command", "research", "report", "strategy"),
)
# Nothing is loaded of the absent type, and a handful of the rare one whatever the depth.
ABSENT: Final = "report"
RARE: Final = "strategy"
# Their evidence names a report and tasks of their own, which a no-op does not write.
NAME_ROWS: Final = ("planning", "research")
RARE_ROWS: Final = 5_000
AGE: Final = 60_000
OLD: Final = 3_600_000
KINDS: Final = {"common": COMMON, "rare": (RARE,), "absent": (ABSENT,), "all": ALL_TYPES}

GRANTS: LiteralString = """
INSERT INTO juggernaut.grants (worker_type, task_type) SELECT $1, unnest($2::text[])
ON CONFLICT DO NOTHING
"""
LANES: LiteralString = """
SELECT juggernaut.lane_of(y.task_type, NULL, 'medium') FROM juggernaut.task_types y
"""
# Ready one after the other, from $3 milliseconds ago to half of that.
PENDING: LiteralString = """
INSERT INTO public.governance_tasks (title, task_type, status, priority, risk_level, created_by,
                                     ready, lane, claim_key)
SELECT 'task ' || n, l.task_type, 'pending', 'medium', 'low', 'loader', true, l.lane,
       (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 1800000
       - $3::bigint + n * ($3 / 2) / $1
  FROM (SELECT n, (SELECT ($2::text[])[1 + n % cardinality($2::text[])]) AS task_type
          FROM generate_series(1, $1::bigint) n) x
  JOIN juggernaut.lanes l USING (task_type) WHERE l.assignment = '' AND l.priority = 'medium'
"""
BLOCKED: LiteralString = """
INSERT INTO public.governance_tasks (title, task_type, status, priority, risk_level, created_by,
                                     waits, lane, claim_key)
SELECT 'blocked ' || n, l.task_type, 'waiting', 'critical', 'low', 'loader', 1, l.lane, n
  FROM (SELECT n, (SELECT ($2::text[])[1 + n % cardinality($2::text[])]) AS task_type
          FROM generate_series(1, $1::bigint) n) x
  JOIN juggernaut.lanes l USING (task_type) WHERE l.assignment = '' AND l.priority = 'medium'
"""
FINISH: LiteralString = """
UPDATE public.governance_tasks
   SET status = 'completed', ready = false, completed_at = clock_timestamp(), evidence_id = 1
 WHERE status = 'pending'
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def grant_kinds(admin: Connection) -> None:
    """Let each kind of worker claim its types, and make the lanes."""
    for kind, types in KINDS.items():
        await admin.execute(GRANTS, kind, list(types))
    await admin.execute(LANES)


async def unguarded(admin: Connection, statement: LiteralString, *values: object) -> None:
    """Run one statement on governance_tasks with all its triggers off."""
    await admin.execute("ALTER TABLE public.governance_tasks DISABLE TRIGGER ALL")
    await admin.execute(statement, *values, timeout=300)
    await admin.execute("ALTER TABLE public.governance_tasks ENABLE TRIGGER ALL")
    for trigger in (
        "guard_insert",
        "guard_update",
        "guard_delete",
        "follow_insert",
        "follow_update",
    ):
        await admin.execute(f"ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER {trigger}")


async def load_pending(admin: Connection, rows: int, *, rare: bool = True, age: int = AGE) -> None:
    """Load ready tasks of the usual types; `rare` adds the rare type's rows; `age` in ms."""
    await unguarded(admin, PENDING, rows, usual(), age)
    if rare:
        await unguarded(admin, PENDING, RARE_ROWS, [RARE], age)


def usual() -> list[str]:
    """Give the types of which there are many rows."""
    return [name for name in ALL_TYPES if name not in (RARE, ABSENT, *NAME_ROWS)]
