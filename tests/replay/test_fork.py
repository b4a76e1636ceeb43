"""A fork goes along a cassette for nothing, then its own way, and passes what its origin did."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from juggernaut.adapters.cassettes.folder import CassetteFolder
from juggernaut.coder.loop import BuiltinAgent
from juggernaut.domain import limits
from tests.app.commands import good, run
from tests.fakes.puppets import PuppetModel
from tests.fixtures_postgres import Database, Login
from tests.replay.taped import EDIT, FINISH, LOOK, OLD, TEST, Calls, Taped, model_of, record
from tests.roles.bench import Bench

WORSE: Calls = (("edit", {"path": "slug.py", "old": OLD, "new": 'replace(" ", "+")'}),)


@pytest.fixture
async def failed(bench: Bench, tmp_path: Path) -> Taped:
    """A task whose one attempt wrote a wrong change at step 3."""
    return await record(
        bench, tmp_path / "tapes", LOOK, TEST, WORSE, FINISH, word="failed", max_attempts=1
    )


async def forked(database: Database, taped: Taped, *more: str) -> UUID:
    """Fork with the command, as the operator."""
    argv = ("task", "fork", str(taped.task), "--cassette", str(taped.file), *more)
    row = await asyncio.to_thread(good, database, *argv)
    return UUID(row["id"])


def live(bench: Bench, *turns: Calls) -> PuppetModel:
    """Give the model for the steps that are not in the cassette."""
    model = model_of(*turns)
    bench.use(models=model)
    return model


async def test_the_first_steps_cost_nothing(
    bench: Bench, database: Database, failed: Taped
) -> None:
    """From step 3 on another model is asked; evidence, log and cassette say where it came from."""
    model = live(bench, EDIT, FINISH)
    task = await forked(database, failed, "--from-step", "3", "--model", "fast")
    row, origin = await bench.task(task), await bench.task(failed.task)
    assert row["parent_task_id"] == failed.task
    for same in ("title", "acceptance_criteria", "risk_level", "repo", "task_type"):
        assert row[same] == origin[same]
    assert await bench.work("executor") == "completed"
    assert [request.purpose for request in model.requests] == ["code", "code"]
    first = model.requests[0]
    assert [message.role for message in first.messages].count("assistant") == 2
    assert "FAILED (failures=1)" in first.messages[-1].tool_results[0].text
    calls = await bench.rows(
        "SELECT cost_usd FROM juggernaut.model_calls WHERE task_id = $1 AND digest <> ''", task
    )
    assert [str(call["cost_usd"]) for call in calls] == ["0.002000"] * 2
    agent = (await bench.facts(task))["agent"]
    assert isinstance(agent, dict)
    name = failed.file.name
    assert agent["fork"] == {
        **{"of": str(failed.task), "steps": 2, "cassette": name, "model": "fast"}
    }
    again = Taped(task, failed.folder / f"{task}-1.jsonl", failed.folder)
    played = [line["replayed"] for line in again.lines() if line["kind"] == "model"]
    assert played == [True, True, False, False]
    assert not await bench.rows("SELECT FROM execution_logs WHERE action = 'fork_diverged'")
    shown = await asyncio.to_thread(good, database, "task", "show", str(task))
    assert (shown["parent_task_id"], shown["payload"]["fork"]["from_step"]) == (
        *(str(failed.task), 3),
    )
    shown = await asyncio.to_thread(good, database, "task", "show", str(failed.task))
    (fork,) = shown["story"]["forks"]
    assert (fork["task_id"], fork["from_step"], fork["status"]) == (str(task), "3", "completed")


async def test_a_difference_ends_the_free_steps(
    bench: Bench, database: Database, failed: Taped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is asked from there, and the log says why; a second attempt starts over."""
    model = live(bench, TEST, FINISH, LOOK, EDIT, FINISH)
    monkeypatch.setenv("JUGGERNAUT_RECORD", str(failed.folder))
    fork = ("task", "fork", str(failed.task), "--from-step", "4")
    task = UUID((await asyncio.to_thread(good, database, *fork))["id"])
    monkeypatch.setattr(limits, "READ_LINES", 1)
    await bench.operator.execute("UPDATE governance_tasks SET max_attempts = 2 WHERE id = $1", task)
    assert await bench.work("executor") == "retry"
    rows = await bench.rows(
        "SELECT message FROM execution_logs WHERE task_id = $1 AND action = 'fork_diverged'", task
    )
    assert [row["message"] for row in rows] == [
        "the model is asked from here: step 1: tool read differs"
    ]
    assert len(model.requests) == 2
    await bench.retry_now(task)
    assert await bench.work("executor") == "completed"
    assert len(model.requests) == 5
    agent = (await bench.facts(task))["agent"]
    assert isinstance(agent, dict)
    assert "fork" not in agent


async def test_a_fork_waits_for_people_as_its_origin_did(
    bench: Bench, database: Database, tmp_path: Path
) -> None:
    """Its plan names cassette and model, so that they are approved with it."""
    bench.use(agent=BuiltinAgent(), models=model_of(LOOK, EDIT, FINISH))
    bench.services = replace(bench.services, cassettes=CassetteFolder(tmp_path / "tapes"))
    origin = await bench.add_task("code", risk_level="high")
    assert await bench.work("executor") == "parked"
    task = await bench.approver.fetchval(
        "SELECT fork_task($1, 2, 'fast', $2)", origin, f"{origin}-7.jsonl"
    )
    assert (await bench.task(task))["risk_level"] == "high"
    assert await bench.work("executor") == "parked"
    plan = await bench.rows("SELECT plan FROM pending_approvals WHERE task_id = $1", task)
    assert f'"cassette": "{origin}-7.jsonl"' in plan[0]["plan"]
    assert '"model": "fast"' in plan[0]["plan"]
    with pytest.raises(asyncpg.PostgresError, match="proposed"):
        await bench.approve(task)


async def test_what_a_worker_lacks_blocks_a_fork(
    bench: Bench, database: Database, failed: Taped
) -> None:
    """No folder, another file of the same name, a base that is gone: each is said."""
    task = await forked(database, failed, "--from-step", "2")
    with_tapes, bench.services = bench.services, replace(bench.services, cassettes=None)
    assert await bench.work("executor") == "parked"
    row = await bench.task(task)
    assert (row["status"], failed.file.name in row["blocked_reason"]) == ("blocked", True)
    assert "JUGGERNAUT_RECORD" in row["blocked_owner"]
    bench.services = with_tapes
    kept = failed.file.read_text()
    failed.file.write_text(kept + '{"kind": "cut"}\n')
    await bench.operator.execute("SELECT retry_task($1)", task)
    assert await bench.work("executor") == "parked"
    assert "is not the one that was meant" in (await bench.task(task))["blocked_reason"]
    base = str(failed.lines()[1]["base"])
    failed.file.write_text(kept.replace(base, "0" * 40))
    gone = await forked(database, failed, "--from-step", "2")
    assert await bench.work("executor") == "failed"
    error = (await bench.task(gone))["error_message"]
    assert f"begins at {'0' * 40}" in error
    assert "does not have it any more" in error


CHECKED = (
    (("--from-step", "9"), "there is no step 9: give 1 to 5"),
    (("--from-step", "2", "--model", "best"), "no model is called 'best': give an alias"),
    (("--from-step", "2", "--model", "acme/x"), "provider/model with one of anthropic"),
)


async def test_the_command_checks_first(bench: Bench, database: Database, failed: Taped) -> None:
    """A step that is not there and a model that nobody knows: no task is made."""
    fork = ("task", "fork", str(failed.task), "--cassette", str(failed.file))
    for argv, said in CHECKED:
        ran = await asyncio.to_thread(run, database, *fork, *argv)
        assert ran.code == 2
        assert said in ran.err
    ran = await asyncio.to_thread(run, database, *fork[:3], "--from-step", "2")
    assert (ran.code, "set JUGGERNAUT_RECORD, or give --cassette" in ran.err) == (2, True)
    assert len(await bench.rows("SELECT FROM governance_tasks")) == 1


async def test_only_fork_task_makes_forks(
    bench: Bench, database: Database, worker_login: Login
) -> None:
    """No login writes the payload of a fork or changes it; no worker makes one."""
    origin = await bench.add_task("code", acceptance_criteria='["x"]')
    facts = {"of": str(origin), "from_step": 1, "cassette": "../../etc/passwd"}
    for who in (bench.operator, bench.approver):
        with pytest.raises(asyncpg.PostgresError, match="a payload does not make a fork"):
            await who.execute(
                "INSERT INTO governance_tasks (title, task_type, payload) VALUES ('x', 'code', $1)",
                json.dumps({"fork": facts}),
            )
        with pytest.raises(asyncpg.PostgresError, match="a payload does not make a fork"):
            await who.execute(
                "UPDATE governance_tasks SET payload = $1 WHERE id = $2",
                json.dumps({"fork": facts}),
                origin,
            )
    made = await bench.approver.fetchval(
        "SELECT fork_task($1, 1, NULL, $2)", origin, f"{origin}-1.jsonl"
    )
    with pytest.raises(asyncpg.PostgresError, match="a payload does not make a fork"):
        await bench.approver.execute(
            "UPDATE governance_tasks SET payload = jsonb_set(payload, '{fork,model}', '\"x/y\"')"
            " WHERE id = $1",
            made,
        )
    worker = await database.connect(worker_login)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await worker.execute("SELECT fork_task($1, 1, NULL, $2)", origin, f"{origin}-1.jsonl")
    report = await bench.add_task("report")
    for statement, given, said in (
        ("SELECT fork_task($1, 1)", (origin,), "has no cassette"),
        ("SELECT fork_task($1, 0, NULL, $2)", (origin, f"{origin}-1.jsonl"), "from_step is 0"),
        ("SELECT fork_task($1, 1, NULL, $2)", (origin, "../a.jsonl"), "has no cassette '../a"),
        ("SELECT fork_task($1, 1, NULL, $2)", (origin, f"{report}-1.jsonl"), "has no cassette"),
        ("SELECT fork_task($1, 1, 'a b')", (origin,), "is no name of a model"),
        ("SELECT fork_task($1, 1)", (report,), "only the work of the code agent"),
    ):
        with pytest.raises(asyncpg.PostgresError, match=said):
            await bench.approver.execute(statement, *given)
