"""What parts of the law cost: they are switched off in a scratch database, nowhere else."""

from __future__ import annotations

from contextlib import AsyncExitStack
from statistics import median
from typing import Final, LiteralString

from benchmarks import latency, load
from benchmarks.lines import Line
from benchmarks.scratch import Scratch, connected

# Of a claim and a completion.
GUARDS: Final[dict[str, LiteralString]] = {
    "guard of moves": "ALTER TABLE governance_tasks DISABLE TRIGGER guard_update",
    "all triggers": "ALTER TABLE governance_tasks DISABLE TRIGGER USER",
    "checks": (
        "ALTER TABLE governance_tasks DROP CONSTRAINT completed_has_evidence,"
        " DROP CONSTRAINT holder_has_fence, DROP CONSTRAINT in_progress_has_holder,"
        " DROP CONSTRAINT ready_is_claimable, DROP CONSTRAINT waiting_has_needs"
    ),
    "evidence contract": (
        "CREATE OR REPLACE FUNCTION juggernaut.fact_is_wrong(p_fact text, p_facts jsonb)"
        " RETURNS boolean LANGUAGE sql IMMUTABLE RETURN false"
    ),
    "keys of evidence": (
        "ALTER TABLE governance_tasks DROP CONSTRAINT evidence_is_of_this_attempt;"
        " ALTER TABLE juggernaut.evidence DROP CONSTRAINT evidence_task_id_fence_fkey"
    ),
    "indexes on status and lease": (
        "DROP INDEX tasks_open, tasks_leased, tasks_concurrency, tasks_dedupe"
    ),
}
NO_EVENT: Final[LiteralString] = "DROP TRIGGER follow_insert ON governance_tasks"
# What the guard would have set is set by defaults, so that the row is the same.
NO_GUARD: Final[LiteralString] = (
    "DROP TRIGGER guard_insert ON governance_tasks;"
    " ALTER TABLE governance_tasks ALTER created_by SET DEFAULT session_user,"
    " ALTER ready SET DEFAULT true, ALTER lane SET DEFAULT 1, ALTER claim_key SET DEFAULT 1"
)
# Of a single insert.
INSERTS: Final[dict[str, tuple[LiteralString, ...]]] = {
    "checks": (GUARDS["checks"],),
    "its event and hint": (NO_EVENT,),
    "its guard": (NO_GUARD,),
    "guard, event and hint": (NO_GUARD, NO_EVENT),
    "guard, event, hint and checks": (NO_GUARD, NO_EVENT, GUARDS["checks"]),
}


async def inserts(scratch: Scratch, rounds: int, seconds: float) -> list[Line]:
    """Measure single inserts of ten clients into a minimal table, ours, and ours without a part."""
    async with AsyncExitStack() as stack:
        places: dict[str, str] = {}
        for number, (name, parts) in enumerate({"": (), **INSERTS}.items()):
            places[name] = await stack.enter_async_context(scratch.database(f"bench_in_{number}"))
            async with connected(scratch.url(places[name])) as admin:
                await load.grant_kinds(admin)
                await admin.execute(latency.BARE_TABLE)
                for statement in parts:
                    await admin.execute(statement)
        plain: list[float] = []
        rates: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(rounds):
            url = scratch.url(places[""])
            plain.append(await latency.insert_rate(url, latency.BARE_PLAIN, seconds))
            for name, database in places.items():
                url = scratch.url(database)
                rates[name].append(await latency.insert_rate(url, latency.OURS_PLAIN, seconds))
    return [
        Line(
            f"enqueue without {name}" if name else "enqueue, all on",
            *(median(found), "rows/s", median(found) / median(plain), "plain"),
        )
        for name, found in rates.items()
    ]
