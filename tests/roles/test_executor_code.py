"""EXECUTOR's code tasks, from the claim to the merged pull request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from juggernaut.coder.loop import BuiltinAgent
from juggernaut.domain import faults
from juggernaut.domain.exchange import Terms
from juggernaut.ports import Choice
from tests.fakes.puppets import PuppetAgent, PuppetModel, answer, edit
from tests.roles.bench import (
    BAD_SLUG,
    CRITERIA,
    FAKE_SECRET,
    GOOD_SLUG,
    PYTHON,
    SLUG_FILES,
    Approver,
    Bench,
)


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """Leave no fault armed behind."""
    yield
    faults.arm(None)


async def pulls_of(bench: Bench) -> list[tuple[str, str]]:
    """Give branch and state of every pull request there is."""
    rows = await bench.rows(
        "SELECT head_branch, state FROM juggernaut.pull_requests ORDER BY number"
    )
    return [(row["head_branch"], row["state"]) for row in rows]


async def test_a_bug_becomes_a_merged_pull_request(bench: Bench) -> None:
    """The evidence names the commit that was verified and merged; the default branch has it."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    assert await bench.work("executor") == "completed"
    facts = await bench.facts(task)
    assert bench.origin.head("main") == facts["merged_sha"]
    assert bench.origin.show("main:slug.py").strip() == GOOD_SLUG.strip()
    tests = facts["tests"]
    assert isinstance(tests, dict)
    assert (tests["passed"], tests["failed"], tests["counted"]) == (1, 0, "report")
    assert tests["report"] == {"tests": 1, "skipped": 0}
    assert len(tests["report_digest"]) == 64
    assert tests["before"] == {"sha": facts["base_sha"], "tests": 1, "gone": 0}
    assert facts["files"] == ["slug.py"]
    verdicts = await bench.rows("SELECT verdict, facts FROM juggernaut.verdicts")
    assert [row["verdict"] for row in verdicts] == ["met"]
    assert '"met_at_base": false' in verdicts[0]["facts"]
    learning = (await bench.rows("SELECT * FROM learnings"))[0]
    assert "slug.py" in learning["title"]
    assert "exit code 1 before, 0 after" in learning["description"]
    assert await pulls_of(bench) == [(f"feature/{task}", "merged")]


async def test_an_unmet_criterion_comes_back_with_its_output(bench: Bench) -> None:
    """The second attempt is told what went wrong; the learning says it too."""
    agent = PuppetAgent({"slug.py": BAD_SLUG}, {"slug.py": GOOD_SLUG})
    bench.use(agent=agent)
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    assert await bench.work("executor") == "retry"
    row = await bench.task(task)
    assert row["status"] == "pending"
    assert await pulls_of(bench) == []
    await bench.retry_now(task)
    assert await bench.work("executor") == "completed"
    assert "AssertionError" in agent.requests[1].prompt
    learning = (await bench.rows("SELECT * FROM learnings"))[0]
    assert learning["category"] == "pitfall"
    assert await pulls_of(bench) == [(f"feature/{task}", "merged")]


@pytest.mark.parametrize(
    ("draft", "finished", "tool_uses", "reason"),
    [
        ({"slug.py": SLUG_FILES["slug.py"]}, True, 3, "no change"),
        ({"slug.py": GOOD_SLUG}, False, 3, "out of turns"),
        ({"slug.py": GOOD_SLUG}, True, 0, "without having used a tool"),
    ],
)
async def test_an_agent_that_only_talks_gets_nowhere(
    bench: Bench, draft: dict[str, str | None], finished: bool, tool_uses: int, reason: str
) -> None:
    """No change, no finish, no tool: each fails the attempt with its reason."""
    agent = PuppetAgent(draft)
    agent.finished, agent.tool_uses = finished, tool_uses
    bench.use(agent=agent)
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, max_attempts=1)
    assert await bench.work("executor") == "failed"
    row = await bench.task(task)
    assert reason in row["error_message"]
    assert await bench.rows("SELECT * FROM juggernaut.evidence") == []


@pytest.mark.parametrize(
    "point",
    [
        *("claim.got", "plan.recorded", "effect.intended:1", "effect.intended:3"),
        *("push.done", "verify.done", "pull.done", "merge.done"),
    ],
)
async def test_one_pull_request_whatever_an_attempt_dies_of(bench: Bench, point: str) -> None:
    """An attempt that ends anywhere leaves work that the next one takes up or replaces."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    name, _, count = point.partition(":")
    faults.arm(f"{name}:error:{count or 1}")
    assert await bench.work("executor") == "retry"
    faults.arm(None)
    await bench.retry_now(task)
    assert await bench.work("executor") == "completed"
    assert await pulls_of(bench) == [(f"feature/{task}", "merged")]
    assert len(bench.origin.log("main")) == 2
    facts = await bench.facts(task)
    assert bench.origin.head("main") == facts["merged_sha"]
    assert facts["files"] == ["slug.py"]


async def test_a_lost_answer_to_the_last_write_is_asked_again(bench: Bench) -> None:
    """An attempt whose process ends after the merge completes with the facts of the merge."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    found = await bench.claim("executor")
    assert found is not None
    faults.arm("complete.sent:error")
    assert await bench.attempt("executor", found) == "retry"
    faults.arm(None)
    await bench.retry_now(task)
    assert await bench.work("executor") == "completed"
    facts = await bench.facts(task)
    assert facts["verified_sha"] == facts["merged_sha"] == bench.origin.head("main")


async def test_a_closed_pull_request_is_an_answer(bench: Bench) -> None:
    """The task fails for good, and says why."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    faults.arm("pull.done:error")
    assert await bench.work("executor") == "retry"
    await bench.operator.execute("UPDATE juggernaut.pull_requests SET state = 'closed'")
    await bench.retry_now(task)
    assert await bench.work("executor") == "failed"
    assert "closed without a merge" in (await bench.task(task))["error_message"]


async def test_a_base_that_moved_under_a_draft(bench: Bench) -> None:
    """A draft that conflicts with the new base is written again; still one pull request."""
    agent = PuppetAgent({"slug.py": GOOD_SLUG}, {"slug.py": GOOD_SLUG + "# again\n"})
    bench.use(agent=agent)
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    faults.arm("pull.done:error")
    assert await bench.work("executor") == "retry"
    faults.arm(None)
    bench.origin.push("main", {"slug.py": BAD_SLUG})
    await bench.retry_now(task)
    assert await bench.work("executor") == "completed"
    assert await pulls_of(bench) == [(f"feature/{task}", "merged")]
    assert len(agent.requests) == 2
    assert "# again" in bench.origin.show("main:slug.py")


async def test_a_criterion_without_a_check_waits_for_a_person(bench: Bench) -> None:
    """The pull request is open while a person judges; after that it is merged, not redone."""
    agent = PuppetAgent({"slug.py": GOOD_SLUG})
    bench.use(agent=agent)
    task = await bench.add_task("code", acceptance_criteria="The code's clear")
    assert await bench.work("executor") == "parked"
    row = await bench.task(task)
    assert row["status"] == "blocked"
    assert "criterion 1" in row["blocked_reason"]
    printed = f"SELECT accept_criterion('{task}', 1, 'note', 'The code''s clear')"
    assert row["blocked_owner"] == f"a person: {printed}"
    assert await pulls_of(bench) == [(f"feature/{task}", "open")]
    await bench.operator.execute(printed)
    assert await bench.work("executor") == "completed"
    assert len(agent.requests) == 1
    assert await pulls_of(bench) == [(f"feature/{task}", "merged")]


async def test_nothing_to_prove_it_with(bench: Bench) -> None:
    """A task that nothing could prove is not begun."""
    agent = PuppetAgent({"slug.py": GOOD_SLUG})
    bench.use(agent=agent)
    settings = replace(bench.services.settings, test_argv=None)
    bench.services = replace(bench.services, settings=settings)
    task = await bench.add_task("code")
    assert await bench.work("executor") == "parked"
    assert "nothing can prove" in (await bench.task(task))["blocked_reason"]
    assert agent.requests == []


async def test_a_riskier_diff_than_planned_is_decided_on(bench: Bench) -> None:
    """A change of what runs before the tests waits for an approver, and merges after that."""
    agent = PuppetAgent({"slug.py": GOOD_SLUG, "conftest.py": "# quiet\n"})
    bench.use(agent=agent)
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    assert await bench.work("executor") == "parked"
    waiting = (await bench.rows("SELECT * FROM pending_approvals"))[0]
    assert waiting["gate"] == "diff"
    assert "conftest.py" in waiting["plan"]
    assert any("conftest.py" in factor for factor in waiting["risk_factors"])
    await bench.approve(task)
    assert await bench.work("executor") == "completed"
    assert len(agent.requests) == 1


async def test_high_risk_waits_before_anything_is_done(bench: Bench) -> None:
    """No branch, no call, no draft before the decision; the same plan passes after it."""
    agent = PuppetAgent({"slug.py": GOOD_SLUG})
    bench.use(agent=agent)
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, risk_level="high")
    assert await bench.work("executor") == "parked"
    assert agent.requests == []
    assert (await bench.task(task))["status"] == "waiting_approval"
    await bench.approve(task)
    assert await bench.work("executor") == "completed"


async def test_critical_takes_two_people_and_two_gates(bench: Bench, second: Approver) -> None:
    """The plan, then the exact diff: each needs two different people."""
    agent = PuppetAgent({"slug.py": GOOD_SLUG})
    bench.use(agent=agent)
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, risk_level="critical")
    assert await bench.work("executor") == "parked"
    await bench.approve(task)
    assert await bench.claim("executor") is None
    await second(task)
    assert await bench.work("executor") == "parked"
    waiting = (await bench.rows("SELECT gate, have, need FROM pending_approvals"))[0]
    assert tuple(waiting) == ("diff", 0, 2)
    await second(task)
    await bench.approve(task)
    assert await bench.work("executor") == "completed"
    assert len(agent.requests) == 1


async def test_the_built_in_agent_does_it_with_its_tools(bench: Bench) -> None:
    """The real tool loop, on what a model asks for; every call is in the ledger."""
    replies = [edit("slug.py", '"_"', '"-"'), answer({"summary": "Dashes now."}, "finish")]
    bench.use(agent=BuiltinAgent(), models=PuppetModel({"code": replies}))
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    assert await bench.work("executor") == "completed"
    facts = await bench.facts(task)
    assert isinstance(facts["agent"], dict)
    assert facts["agent"]["name"] == "builtin"
    calls = await bench.rows("SELECT state FROM juggernaut.model_calls")
    assert [row["state"] for row in calls] == ["settled", "settled"]


async def test_the_agent_is_told_how_much_its_model_holds(bench: Bench) -> None:
    """What models.yaml says of the first model that answers for code."""

    class Small(PuppetModel):
        """A model with a small context."""

        def for_purpose(self, purpose: str) -> tuple[Choice, ...]:
            """Answer on these terms."""
            return (Choice(self, Terms(context_tokens=50_000)),)

    agent = PuppetAgent({"slug.py": GOOD_SLUG})
    bench.use(agent=agent, models=Small({}))
    await bench.add_task("code", acceptance_criteria=CRITERIA)
    assert await bench.work("executor") == "completed"
    assert agent.requests[0].context_tokens == 50_000


async def test_no_secret_is_in_the_evidence(bench: Bench) -> None:
    """What a passing check prints is kept without it."""
    noisy = [PYTHON, "-c", f"print('{FAKE_SECRET}')"]
    criteria = json.dumps([{"text": "it prints", "check": noisy}])
    await bench.add_task("verification", acceptance_criteria=criteria)
    assert await bench.work("executor") == "completed"
    facts = await bench.rows("SELECT facts FROM juggernaut.verdicts")
    assert "[redacted]" in facts[0]["facts"]
    assert FAKE_SECRET not in facts[0]["facts"]


async def test_no_secret_leaves_through_the_work(bench: Bench) -> None:
    """What a test prints goes into evidence and logs without the process's secrets."""
    noisy = [PYTHON, "-c", f"print('{FAKE_SECRET}'); raise SystemExit(1)"]
    criteria = json.dumps([{"text": "it prints", "check": noisy}])
    task = await bench.add_task("code", acceptance_criteria=criteria, max_attempts=1)
    assert await bench.work("executor") == "failed"
    row = await bench.task(task)
    assert FAKE_SECRET not in row["error_message"]
    logs = await bench.rows("SELECT message, metadata, error_data FROM execution_logs")
    assert not [line for line in logs if FAKE_SECRET in str(tuple(line))]
