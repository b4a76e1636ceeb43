"""ANALYST: research in the repository, and reports on the swarm's work.

The body of both is composed by plain code. Where a model is configured it adds a summary, every
claim of which cites a source or a row that is in the body.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from juggernaut.role import (
    Completion,
    CriteriaUnmet,
    Evidence,
    InvalidInput,
    Json,
    Role,
    RoleContext,
    Source,
    check_citations,
    digest_of,
    learn,
    markdown,
    rows_of,
)

REPORT_HOURS = 24
SUMMARY_SCHEMA: Json = {
    "type": "object",
    "additionalProperties": False,
    "required": ["summary"],
    "properties": {"summary": {"type": "string", "minLength": 20, "maxLength": 6_000}},
}


async def research(ctx: RoleContext) -> Completion:
    """Find the places in the repository that answer a question, and report them."""
    await ctx.plan()
    question = f"{ctx.task.title}\n\n{ctx.task.description}"
    async with ctx.checkout() as tree:
        sources = await tree.search(question)
    if not sources:
        raise CriteriaUnmet(
            "no file of the repository speaks of this question; name a function, a file or a word"
            " that occurs in it"
        )
    summary = ""
    if ctx.has_model:
        values = {
            "task": ctx.framed(question, "task"),
            "sources": ctx.framed("\n\n".join(_shown(item) for item in sources), "repository"),
            "learnings": await ctx.recall(),
        }
        read = _reader([item.id for item in sources])
        summary = await ctx.ask_structured("research", "researcher", values, SUMMARY_SCHEMA, read)
    body = _research_body(ctx.task.title, summary, sources)
    named = [item.facts() for item in sources]
    report_id = await ctx.save_report(ctx.task.title, body, {"sources": named})
    return Completion(
        evidence=Evidence("research", {"sources": named, "report_id": report_id}),
        verdicts=await ctx.judge_by_people(),
        summary=f"Report {report_id}, from {len(sources)} sources at {sources[0].sha}",
        learning=learn.from_sources(ctx.task, sources),
    )


async def report(ctx: RoleContext) -> Completion:
    """Report on what the swarm did: counts, trends and failure patterns of the database."""
    await ctx.plan()
    metrics = await ctx.metrics(_hours(ctx.task.payload))
    rows = rows_of(metrics)
    summary = ""
    if ctx.has_model and rows:
        values = {
            "task": ctx.framed(f"{ctx.task.title}\n\n{ctx.task.description}", "task"),
            "rows": ctx.framed("\n".join(row.line() for row in rows), "metrics"),
        }
        read = _reader([row.id for row in rows])
        summary = await ctx.ask_structured("report", "reporter", values, SUMMARY_SCHEMA, read)
    parts = [f"# {ctx.task.title}", summary, markdown(rows) or "Nothing was measured yet."]
    body = "\n\n".join(part for part in parts if part)
    digest = digest_of(metrics)
    report_id = await ctx.save_report(ctx.task.title, body, {"metrics": metrics})
    return Completion(
        evidence=Evidence("report", {"report_id": report_id, "metrics_digest": digest}),
        verdicts=await ctx.judge_by_people(),
        summary=f"Report {report_id} on {len(rows)} measured rows",
    )


def _reader(ids: Sequence[str]) -> Callable[[Json], str]:
    """Give what reads a summary and refuses one that cites what it was not given."""

    def read(answer: Json) -> str:
        """Read the summary."""
        text = str(answer["summary"])
        check_citations(text, ids)
        return text

    return read


def _shown(source: Source) -> str:
    """Show a source to a model."""
    return f"[{source.id}] {source.path}, line {source.line}:\n{source.excerpt}"


def _research_body(title: str, summary: str, sources: Sequence[Source]) -> str:
    """Write the report of a research task; an excerpt is indented, so that it stays text."""
    parts = [f"# {title}", summary] if summary else [f"# {title}"]
    parts.append("## Sources")
    for item in sources:
        excerpt = "\n".join(f"    {line}" for line in item.excerpt.splitlines())
        parts.append(f"[{item.id}] {item.path}, line {item.line}, at {item.sha}\n\n{excerpt}")
    return "\n\n".join(parts)


def _hours(payload: Json) -> int:
    """Read for how many hours a report is asked for."""
    hours = payload.get("hours", REPORT_HOURS)
    most = REPORT_HOURS * 366
    if not isinstance(hours, int) or isinstance(hours, bool) or not 1 <= hours <= most:
        raise InvalidInput(f'payload "hours" must be a whole number from 1 to {most}')
    return hours


ROLE = Role(
    name="analyst",
    instructions=(
        "You are ANALYST. You say only what the sources or rows that you are given say, and you"
        " cite them."
    ),
    handlers={"research": research, "report": report},
)
