"""Models that talk nonsense, repeat themselves or only claim: failed with the reason, no merge."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from juggernaut.app.demo.sample import TEST_COMMAND
from tests.fakes.wire_openai import WireOpenAI
from tests.fakes.wire_server import KEY, Fault
from tests.flow.wished import git, sample_bare
from tests.flow.workers import Swarm, swarm

__all__ = ["swarm"]

Turn = dict[str, Any]


def said(text: str) -> Turn:
    """A turn of words alone."""
    return {"text": text}


def used(name: str, **arguments: object) -> Turn:
    """A turn with one tool call."""
    return {"text": "", "tools": [{"name": name, "arguments": arguments}]}


def planned(*tasks: Turn) -> list[Turn]:
    """The same plan twice: the second one is after the complaint about the first."""
    return [used("answer", tasks=list(tasks))] * 2


def task(key: str, **more: object) -> Turn:
    """One task of a plan."""
    criteria = [{"text": "it is there", "check": ["true"]}]
    row = {"key": key, "title": f"task {key}", "description": "x", "task_type": "code"}
    return {**row, "criteria": criteria, **more}


DONE = used("finish", summary="Fixed. All tests pass, the pull request is merged.")
LOOK = used("read", path="slugs/text.py")
# Title of a code task -> what the model does, and what the task says in the end.
ENDED = "SELECT true FROM juggernaut.attempts WHERE task_id = $1 AND ended_at IS NOT NULL"
CODE: dict[str, tuple[list[Turn], str]] = {
    "claims in words": ([said("Done! All tests pass.")] * 2, "claimed success without using"),
    "claims by finishing": ([DONE] * 2, "claimed success without using"),
    "repeats itself": ([LOOK] * 20, "repeats itself"),
    "stops half-way": ([LOOK, said("I am tired."), said("Really.")], "stopped without finishing"),
    "changes nothing": ([LOOK, DONE], "no change"),
    "does not fix it": (
        [
            used("read", path="README.md"),
            used("edit", path="README.md", old="#", new="# New"),
            DONE,
        ],
        "the tests do not pass",
    ),
    "talks nonsense": (
        [
            used("read", pth=3),
            used("sudo", argv="rm -rf /"),
            used("edit", path="../../outside", old="a", new="b"),
            DONE,
            DONE,
        ],
        "claimed success without using",
    ),
}
# Title of a planning task -> what the model answers, and what the task says in the end.
PLANS: dict[str, tuple[list[Turn], str]] = {
    "plan of words": ([said("First I would think.")] * 2, "not in the agreed form"),
    "plan of unknown types": (planned(task("a", task_type="magic")), "task_type"),
    "plan in a circle": (
        planned(task("a", needs=["b"]), task("b", needs=["a"])),
        "wait for each other",
    ),
    "plan without work": (planned(), "not in the agreed form"),
    "plan with strange needs": (planned(task("a", needs=["zzz"])), "'zzz'"),
}


def write_script(file: Path) -> Path:
    """Write what the scripted model does for every title."""
    parts = [
        {"purpose": purpose, "contains": [title], "turns": turns}
        for purpose, cases in (("code", CODE), ("plan", PLANS))
        for title, (turns, _) in cases.items()
    ]
    script = {"label": "hostile", "usd_per_call": 0.001, "conversations": parts}
    file.write_text(json.dumps(script), encoding="utf-8")
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == script
    return file


async def check_nothing_happened(swarm: Swarm, head: str, repository: Path) -> None:
    """No merge, no pull request that was merged, no evidence, no new task."""
    assert git(repository, "rev-parse", "HEAD") == head
    assert await swarm.operator.fetch("SELECT * FROM proof") == []
    assert await swarm.operator.fetch("SELECT * FROM juggernaut.effects WHERE kind = 'merge'") == []
    assert await swarm.operator.fetch("SELECT * FROM law_violations") == []


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_nothing_that_a_model_only_says_becomes_work(swarm: Swarm) -> None:
    """Every task ends failed with the reason in words, and the default branch has not moved."""
    repository = await asyncio.to_thread(sample_bare, swarm.folder)
    head = git(repository, "rev-parse", "HEAD")
    wanted = {**CODE, **PLANS}
    tasks = [
        await swarm.add(
            "code" if title in CODE else "planning",
            title,
            description="as the title says",
            repo=str(repository),
            payload={"test": list(TEST_COMMAND)},
        )
        for title in wanted
    ]
    script = write_script(swarm.folder / "hostile.yaml")
    roles = "orchestrator,executor"
    async with swarm.workers(roles, JUGGERNAUT_SCRIPT=str(script), LOG_LEVEL="error"):
        rows = await swarm.ended(tasks, 45)
    for row, (title, (_, reason)) in zip(rows, wanted.items(), strict=True):
        assert row["status"] == "failed", (title, row["status"])
        assert reason in row["error_message"], (title, row["error_message"])
    await check_nothing_happened(swarm, head, repository)
    assert await swarm.operator.fetchval("SELECT count(*) FROM governance_tasks") == len(wanted)


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_a_failure_with_attempts_left_waits_for_the_next_one(swarm: Swarm) -> None:
    """Pending again, with the reason on the row, a time, and a line in why_idle."""
    repository = await asyncio.to_thread(sample_bare, swarm.folder)
    title = "claims in words"
    test = {"test": list(TEST_COMMAND)}
    task_id = await swarm.add("code", title, repo=str(repository), max_attempts=3, payload=test)
    script = write_script(swarm.folder / "hostile.yaml")
    async with swarm.workers("executor", JUGGERNAUT_SCRIPT=str(script), LOG_LEVEL="error"):
        for _ in range(600):
            if await swarm.operator.fetchval(ENDED, task_id):
                break
            await asyncio.sleep(0.05)
        (row,) = await swarm.ended([task_id], 20, among=("pending", "failed"))
    assert (row["status"], row["attempts"]) == ("pending", 1)
    assert CODE[title][1] in row["error_message"]
    assert row["run_after"] is not None
    idle = await swarm.operator.fetchrow("SELECT task_id, reason FROM why_idle")
    assert idle is not None
    assert idle["task_id"] == task_id


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_garbled_tool_arguments_over_the_wire_fail_and_are_paid(swarm: Swarm) -> None:
    """Half a JSON text as arguments, twice: failed, both calls kept at their highest price."""
    repository = await asyncio.to_thread(sample_bare, swarm.folder)
    test = {"test": list(TEST_COMMAND)}
    task_id = await swarm.add("code", "garbled", repo=str(repository), payload=test)
    # Two requests are refused for their wording before the first reply.
    faults = (Fault.NONE, Fault.NONE, Fault.BAD_ARGUMENTS, Fault.BAD_ARGUMENTS)
    async with WireOpenAI(None, faults) as server:
        settings = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.url}
        async with swarm.workers("executor", LOG_LEVEL="error", **settings):
            (row,) = await swarm.ended([task_id], 30)
    assert row["status"] == "failed"
    assert "not valid JSON" in row["error_message"]
    code = await swarm.operator.fetchval("SELECT error_code FROM juggernaut.attempts")
    assert code == "model_garbled"
    calls = await swarm.operator.fetch("SELECT * FROM juggernaut.model_calls")
    assert [call["cost_usd"] == call["reserved_usd"] > 0 for call in calls] == [True, True]
