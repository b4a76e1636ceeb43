"""`juggernaut task show` tells the story of a task at each point of its life."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.domain.stages import stages_of, totals
from tests.adapters.forges.repos import make_origin
from tests.app.commands import good, run
from tests.fakes.puppets import PuppetAgent, PuppetModel
from tests.fixtures_postgres import Database, Login
from tests.roles.bench import BAD_SLUG, CRITERIA, GOOD_SLUG, SLUG_FILES, Bench, make_services

START = datetime(2026, 1, 1, tzinfo=UTC)
SECTIONS = (
    *("attempts", "time per stage", "in all: ", "plans", "plan effects: ", "effects", "diff"),
    *("checks", "verdicts", "evidence", "learnings", "log"),
)


def at(seconds: float) -> datetime:
    """A moment of the story."""
    return START + timedelta(seconds=seconds)


async def live(database: Database, tmp_path: Path, worker: Login) -> str:
    """Let a task fail once and be merged with the second attempt; gives its id."""
    origin = make_origin(tmp_path, SLUG_FILES)
    agent = PuppetAgent({"slug.py": BAD_SLUG}, {"slug.py": GOOD_SLUG})
    async with open_pool(database.url_for(worker.name, worker.password), size=4) as pool:
        services = make_services(pool, tmp_path / "root", origin, agent, PuppetModel({}))
        operator = await asyncpg.connect(database.url)
        try:
            bench = Bench(services, operator, operator, origin, {})
            task = await bench.add_task("code", acceptance_criteria=CRITERIA)
            assert await bench.work("executor") == "retry"
            await bench.retry_now(task)
            assert await bench.work("executor") == "completed"
        finally:
            await operator.close()
    return str(task)


def test_a_finished_task_tells_all(database: Database, tmp_path: Path, worker_login: Login) -> None:
    """Both attempts, each stage, the diff, the checks, the verdicts; as text and as JSON."""
    task = asyncio.run(live(database, tmp_path, worker_login))
    shown = good(database, "task", "show", task)
    story = shown["story"]
    assert [row["ended_as"] for row in story["attempts"]] == ["retry", "completed"]
    assert story["attempts"][0]["error_code"] == "criteria_unmet"
    stages = [row["stage"] for row in story["stages"]]
    assert stages[0] == "waits for a worker"
    assert stages.count("write") == stages.count("verify") == stages.count("plan") == 2
    assert stages[-4:] == ["check", "pull request", "merge", "finish"]
    assert "pause before the next try" in stages
    assert set(story["seconds"]) == set(stages)
    assert [row["passed"] for row in story["checks"]] == [False, True]
    assert '+    return text.replace(" ", "-")' in story["diff"]
    assert [row["verdict"] for row in story["verdicts"]] == ["met"]
    assert story["evidence"][0]["facts"]["merged_sha"] == shown["proof"]["merged_sha"]
    assert {row["kind"] for row in story["effects"]} == {"push", "check", "pull", "merge"}
    assert shown["attempts"] == 2
    text = run(database, "task", "show", task[:8]).out
    places = [text.index(f"\n{section}") for section in SECTIONS]
    assert places == sorted(places)
    assert '    +    return text.replace(" ", "-")' in text
    assert "more lines" not in text


def test_a_task_that_nobody_took_yet_tells_why(database: Database) -> None:
    """It waits, and says for what; empty sections are left out."""
    task = good(database, "task", "add", "x", "--type", "code")["id"]
    story = good(database, "task", "show", task)["story"]
    assert [(row["stage"], row["lasts"]) for row in story["stages"]] == [
        ("waits for a worker", True)
    ]
    assert (story["attempts"], story["diff"]) == ([], None)
    text = run(database, "task", "show", task).out
    assert "\nwhy " in text
    assert "attempts: none" in text
    assert "verdicts" not in text


def test_stages_are_cut_at_what_was_recorded() -> None:
    """Waiting has the name of what it waits for; a stage that lasts ends now."""
    task: Mapping[str, object] = {"created_at": at(0), "status": "in_progress"}
    attempts: list[Mapping[str, object]] = [
        {"started_at": at(5), "ended_at": at(7), "ended_as": "parked"},
        {"started_at": at(100), "ended_at": None, "ended_as": None},
    ]
    plans = [{"gate": "plan", "recorded_at": at(6)}, {"gate": "plan", "recorded_at": at(101)}]
    effects = [{"kind": "push", "intended_at": at(130), "confirmed_at": at(131)}]
    rows = [stage.row(at(140)) for stage in stages_of(task, attempts, plans, effects)]
    assert [(row["attempt"], row["stage"], row["seconds"]) for row in rows] == [
        (None, "waits for a worker", 5.0),
        (1, "plan", 1.0),
        (1, "work", 1.0),
        (None, "waits for approval", 93.0),
        (2, "plan", 1.0),
        (2, "write", 29.0),
        (2, "push", 1.0),
        (2, "finish", 9.0),
    ]
    assert totals(rows)["plan"] == 2.0
    assert rows[-1]["lasts"]
