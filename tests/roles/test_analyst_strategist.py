"""ANALYST and STRATEGIST: what is measured or read, cited; and what is proposed."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.fakes.puppets import PuppetModel, answer
from tests.roles.bench import Bench, role_named

QUESTION = {"title": "How does slug treat spaces?", "description": "Which function replaces them?"}
SUMMARY = "Spaces are replaced by the function slug, with an underscore today [s1]."


async def report_of(bench: Bench) -> str:
    """Read the body of the only report."""
    body: str = await bench.operator.fetchval("SELECT body FROM reports")
    return body


async def test_research_names_its_sources(bench: Bench) -> None:
    """Without a model the report is the places themselves, at their commit."""
    bench.services = replace(bench.services, models=None)
    task = await bench.add_task("research", **QUESTION)
    assert await bench.work("analyst") == "completed"
    sources = (await bench.facts(task))["sources"]
    assert isinstance(sources, list)
    assert {item["path"] for item in sources} == {"slug.py", "test_slug.py", "README.md"}
    assert {item["sha"] for item in sources} == {bench.origin.head("main")}
    assert "[s1]" in await report_of(bench)


async def test_a_summary_cites_or_is_refused(bench: Bench) -> None:
    """A citation of what was not given is asked for again."""
    wrong = answer({"summary": "Spaces vanish, as everybody knows [s99]."})
    model = PuppetModel({"research": [wrong, answer({"summary": SUMMARY})]})
    bench.use(models=model)
    await bench.add_task("research", **QUESTION)
    assert await bench.work("analyst") == "completed"
    assert SUMMARY in await report_of(bench)
    assert "[s99] was cited" in model.requests[1].messages[-1].tool_results[0].text


async def test_a_question_that_the_repository_does_not_know(bench: Bench) -> None:
    """No source, no report."""
    await bench.add_task("research", title="Quantum chromodynamics", description="", max_attempts=1)
    assert await bench.work("analyst") == "failed"


async def test_a_report_is_composed_of_measured_rows(bench: Bench) -> None:
    """The body has the rows; the digest in the evidence is that of the stored metrics."""
    bench.services = replace(bench.services, models=None)
    await bench.add_task("command", payload={"command": ["true"]})
    await bench.work("executor")
    task = await bench.add_task("report", title="Daily report")
    assert await bench.work("analyst") == "completed"
    body = await report_of(bench)
    assert "tasks_completed, command: 1 tasks (before: 0)" in body
    assert (await bench.facts(task))["report_id"] == 1


async def test_a_report_with_a_cited_summary(bench: Bench) -> None:
    """The model sees rows with ids and cites one."""
    text = "One command task was completed [m1]."
    bench.use(models=PuppetModel({"report": [answer({"summary": text})]}))
    await bench.add_task("command", payload={"command": ["true"]})
    await bench.work("executor")
    await bench.add_task("report", title="Daily report")
    assert await bench.work("analyst") == "completed"
    assert text in await report_of(bench)


async def test_strategy_proposes_what_the_rows_call_for(bench: Bench) -> None:
    """A blocked task calls for a decision; the model's proposal is kept beside it."""
    proposal = {"kind": "goal", "title": "Write fewer commands", "rationale": "They wait [m1]."}
    bench.use(models=PuppetModel({"strategy": [answer({"proposals": [proposal]})]}))
    await bench.add_task("command", payload={"command": ["true"]}, acceptance_criteria="Nice")
    assert await bench.work("executor") == "parked"
    task = await bench.add_task("strategy", title="What next?")
    assert await bench.work("strategist") == "completed"
    rows = await bench.rows("SELECT kind, title, facts, status FROM recommendations ORDER BY id")
    assert [(r["kind"], r["title"], r["status"]) for r in rows] == [
        ("priority", "Decide on the 1 tasks that are blocked", "proposed"),
        ("goal", "Write fewer commands", "proposed"),
    ]
    assert json.loads(rows[1]["facts"])["by"] == "model"
    assert len(str((await bench.facts(task))["metrics_digest"])) == 64


async def test_nothing_to_propose_is_an_answer(bench: Bench) -> None:
    """No rows call for anything: the task completes without recommendations."""
    bench.services = replace(bench.services, models=None)
    task = await bench.add_task("strategy", title="What next?")
    assert await bench.work("strategist") == "completed"
    assert (await bench.facts(task))["recommendation_ids"] == []


def test_the_watchdog_asks_no_model() -> None:
    """It has duties and no handlers."""
    role = role_named("watchdog")
    assert role.task_types == ()
    assert [duty.name for duty in role.duties] == ["sweep", "detect"]
