"""STRATEGIST: recommendations for a person to accept or decline.

Plain rules propose from measured rows. Where a model is configured it may add proposals, each of
which cites the rows that it rests on.
"""

from __future__ import annotations

from collections.abc import Sequence

from juggernaut.role import (
    Completion,
    Evidence,
    Json,
    Role,
    RoleContext,
    Row,
    check_citations,
    digest_of,
    rows_of,
)

HOURS = 168
MOST_ADDED = 5
REPEATED_TIMES = 3
FAILED_ATTEMPTS = 3
QUEUE_PER_WORKER = 10
KINDS = ["priority", "allocation", "risk", "goal"]
SCHEMA: Json = {
    "type": "object",
    "additionalProperties": False,
    "required": ["proposals"],
    "properties": {
        "proposals": {
            "type": "array",
            "maxItems": MOST_ADDED,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["kind", "title", "rationale"],
                "properties": {
                    "kind": {"type": "string", "enum": KINDS},
                    "title": {"type": "string", "minLength": 5, "maxLength": 200},
                    "rationale": {"type": "string", "minLength": 10, "maxLength": 3_000},
                },
            },
        }
    },
}


async def strategy(ctx: RoleContext) -> Completion:
    """Propose what to do next."""
    await ctx.plan()
    metrics = await ctx.metrics(HOURS)
    rows = rows_of(metrics)
    proposals = propose(rows)
    if ctx.has_model and rows:
        proposals += await _added(ctx, rows, proposals)
    ids = await ctx.save_recommendations(proposals)
    facts = {"recommendation_ids": list(ids), "metrics_digest": digest_of(metrics)}
    listed = "\n".join(f"- {item['kind']}: {item['title']}" for item in proposals)
    return Completion(
        evidence=Evidence("strategy", facts),
        verdicts=await ctx.judge_by_people(),
        summary=f"{len(ids)} recommendations from {len(rows)} measured rows\n{listed}".strip(),
    )


def propose(rows: Sequence[Row]) -> list[Json]:
    """Propose by plain rules: repeated errors, failing task types, waiting decisions, queues."""
    found: list[Json] = []
    for row in rows:
        if row.section == "failures":
            found += _repeated_error(row)
        elif _metric(row) == "failed_attempts":
            found += _failing_type(row, rows)
        elif _metric(row) == "open_tasks":
            found += _waiting(row, rows)
    return found


def _repeated_error(row: Row) -> list[Json]:
    """Propose a goal for an error that ended many attempts."""
    times = _number(row, "count")
    if times < REPEATED_TIMES:
        return []
    title = f"Find the cause of the repeated error {row.values.get('error_code')}"
    text = f"It ended {times} attempts, for example: {row.values.get('example')} [{row.id}]"
    return [_proposal("goal", title, text, row)]


def _failing_type(row: Row, rows: Sequence[Row]) -> list[Json]:
    """Name a risk where more attempts fail than tasks complete."""
    scope, failed = str(row.values.get("scope")), _number(row, "value")
    done = _total(rows, "tasks_completed", scope)
    if failed < FAILED_ATTEMPTS or failed <= done:
        return []
    title = f"Look at {scope} tasks: more attempts fail than tasks complete"
    text = f"{failed} attempts failed, {done} tasks completed [{row.id}]"
    return [_proposal("risk", title, text, row)]


def _waiting(row: Row, rows: Sequence[Row]) -> list[Json]:
    """Propose to decide on what waits for people, and to add workers to a long queue."""
    scope, count = str(row.values.get("scope")), _number(row, "value")
    if scope in ("waiting_approval", "blocked"):
        title = f"Decide on the {count} tasks that are {scope.replace('_', ' ')}"
        text = f"They wait for a person; the view why_idle says for what [{row.id}]"
        return [_proposal("priority", title, text, row)]
    workers = _total(rows, "live_workers")
    if scope != "pending" or count <= QUEUE_PER_WORKER * max(workers, 1):
        return []
    title = f"Add workers: {count} tasks wait for {workers} workers"
    return [_proposal("allocation", title, f"{count} tasks are pending [{row.id}]", row)]


async def _added(ctx: RoleContext, rows: Sequence[Row], proposed: Sequence[Json]) -> list[Json]:
    """Ask a model for what the rules did not see; each proposal cites rows, or is refused."""
    by_id = {row.id: row for row in rows}
    values = {
        "task": ctx.framed(f"{ctx.task.title}\n\n{ctx.task.description}", "task"),
        "rows": ctx.framed("\n".join(row.line() for row in rows), "metrics"),
        "proposed": "\n".join(f"- {item['title']}" for item in proposed) or "nothing",
        "learnings": await ctx.recall(),
        "most": str(MOST_ADDED),
    }

    def read(answer: Json) -> list[Json]:
        """Read the proposals; raises InvalidInput for one without a citation."""
        given = answer["proposals"]
        found: list[Json] = []
        for item in given if isinstance(given, list) else []:
            cited = check_citations(str(item["rationale"]), list(by_id))
            facts = {"by": "model", "rows": {name: dict(by_id[name].values) for name in cited}}
            found.append({**item, "facts": facts})
        return found

    added = await ctx.ask_structured("strategy", "strategist", values, SCHEMA, read)
    known = {str(item["title"]).casefold() for item in proposed}
    return [item for item in added if str(item["title"]).casefold() not in known]


def _proposal(kind: str, title: str, rationale: str, row: Row) -> Json:
    """Make a proposal of the rules."""
    facts = {"by": "rule", "rows": {row.id: dict(row.values)}}
    return {"kind": kind, "title": title, "rationale": rationale, "facts": facts}


def _total(rows: Sequence[Row], metric: str, scope: str | None = None) -> int:
    """Add up a metric, of one scope or of all."""
    return sum(
        _number(row, "value")
        for row in rows
        if _metric(row) == metric and scope in (None, row.values.get("scope"))
    )


def _metric(row: Row) -> str:
    """Give what a row measures."""
    return str(row.values.get("metric", ""))


def _number(row: Row, key: str) -> int:
    """Read a whole number of a row; 0 when there is none."""
    value = row.values.get(key)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


ROLE = Role(
    name="strategist",
    instructions=(
        "You are STRATEGIST. You propose; people decide. You propose only what the rows that you"
        " are given call for, and you cite them."
    ),
    handlers={"strategy": strategy},
)
