"""ORCHESTRATOR: goals become tasks, and are followed to their end."""

from __future__ import annotations

from dataclasses import replace

from juggernaut.role import DutyContext
from tests.fakes.puppets import PuppetModel, answer, says
from tests.roles.bench import CHECK, Bench

FIX = {
    "key": "fix",
    "title": "Fix the slug",
    "description": "Join with dashes.",
    "task_type": "code",
    "priority": "high",
    "risk": "low",
    "needs": [],
    "criteria": [{"text": "slug joins with dashes", "check": CHECK}],
    "payload": {},
}
TEST = {
    "key": "test",
    "title": "Run the tests",
    "description": "All of them.",
    "task_type": "test",
    "needs": ["fix"],
    "criteria": [],
}


async def add_goal(bench: Bench) -> None:
    """Add a goal about the repository, as a person would."""
    await bench.operator.execute(
        "SELECT add_goal('Correct slugs', 'Dashes, please', $1, 1.0)", bench.origin.name
    )


async def test_a_goal_becomes_tasks_and_is_completed(bench: Bench) -> None:
    """From the goal to its end, with the tests as the last task."""
    model = PuppetModel({"plan": [answer({"tasks": [FIX, TEST]})]})
    bench.use(models=model)
    await add_goal(bench)
    assert await bench.work("orchestrator") == "completed"
    rows = await bench.rows("SELECT title, status FROM governance_tasks ORDER BY created_at")
    assert [(r["title"], r["status"]) for r in rows[1:]] == [
        ("Fix the slug", "pending"),
        ("Run the tests", "waiting"),
    ]
    prompt = model.requests[0].messages[0].text
    assert "slug.py" in prompt
    assert "Dashes, please" in prompt
    assert await bench.work("executor") == "completed"
    assert await bench.work("executor") == "completed"
    await DutyContext(bench.services).follow_goals()
    goal = (await bench.rows("SELECT status, outcome FROM goals"))[0]
    assert goal["status"] == "completed"
    ledger = await bench.rows("SELECT purpose, state, cost_usd FROM juggernaut.model_calls")
    assert [(r["purpose"], r["state"]) for r in ledger] == [("plan", "settled")]


async def test_a_wrong_plan_is_asked_for_once_more(bench: Bench) -> None:
    """The model is told what is wrong; the second answer counts."""
    wrong = {**TEST, "needs": ["nothing such"]}
    model = PuppetModel({"plan": [answer({"tasks": [wrong]}), answer({"tasks": [FIX]})]})
    bench.use(models=model)
    await add_goal(bench)
    assert await bench.work("orchestrator") == "completed"
    told = model.requests[1].messages[-1].tool_results[0].text
    assert "'nothing such', which is not in the plan" in told


async def test_a_model_that_answers_nonsense(bench: Bench) -> None:
    """Twice nonsense fails the attempt; nothing was created."""
    bench.use(models=PuppetModel({"plan": [says("I am done.")]}))
    await add_goal(bench)
    assert await bench.work("orchestrator") == "retry"
    rows = await bench.rows("SELECT error_message FROM juggernaut.attempts")
    assert "call the tool answer exactly once" in rows[0]["error_message"]
    assert len(await bench.rows("SELECT * FROM governance_tasks")) == 1


async def test_without_a_model_the_task_says_what_it_waits_for(bench: Bench) -> None:
    """An operator has the next step; nothing burns."""
    bench.services = replace(bench.services, models=None)
    await add_goal(bench)
    assert await bench.work("orchestrator") == "parked"
    row = (await bench.rows("SELECT * FROM why_idle"))[0]
    assert "no model is configured" in row["reason"]
    assert "operator" in row["owner"]


async def test_a_failed_task_gets_one_new_plan(bench: Bench) -> None:
    """The new plan is asked for with the story of the old one."""
    broken = {**FIX, "task_type": "command", "payload": {"command": ["false"]}, "criteria": []}
    model = PuppetModel({"plan": [answer({"tasks": [broken]}), answer({"tasks": [FIX]})]})
    bench.use(models=model)
    await add_goal(bench)
    await bench.work("orchestrator")
    await bench.operator.execute(
        "UPDATE governance_tasks SET max_attempts = 1 WHERE task_type = 'command'"
    )
    assert await bench.work("executor") == "failed"
    await DutyContext(bench.services).follow_goals()
    assert await bench.work("orchestrator") == "completed"
    assert "exit code 1" in model.requests[1].messages[0].text


async def test_a_schedule_fires_once(bench: Bench) -> None:
    """A due schedule makes one task; a cron line without sense is disabled."""
    await bench.operator.execute(
        "INSERT INTO schedules (name, cron, title, task_type, next_run_at) VALUES"
        " ('nightly', '0 3 * * *', 'Nightly report', 'report', now()),"
        " ('broken', 'every day', 'Never', 'report', now())"
    )
    duty = DutyContext(bench.services)
    assert await duty.fire_schedules() == {"fired": 1, "disabled": 1}
    assert await duty.fire_schedules() == {"fired": 0, "disabled": 0}
    rows = await bench.rows("SELECT title FROM governance_tasks")
    assert [row["title"] for row in rows] == ["Nightly report"]
    off = await bench.rows("SELECT name FROM schedules WHERE NOT enabled")
    assert [row["name"] for row in off] == ["broken"]
