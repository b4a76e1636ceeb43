"""What an agent leaves behind that had to stop, and how its task goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from juggernaut.adapters.agents.claude_code import ClaudeCode
from juggernaut.adapters.agents.cli import CliAgent
from juggernaut.adapters.llm.prices import PriceList
from juggernaut.coder.loop import BuiltinAgent
from juggernaut.domain.exchange import ModelReply, ModelRequest
from juggernaut.domain.purse import Landing
from juggernaut.lifecycle import handoff
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.budget import Purser
from tests.adapters.agents.program import puppet_program
from tests.fakes.puppets import PuppetModel, Reply, answer, edit, says
from tests.lifecycle.test_budget import ASKED
from tests.roles.bench import CRITERIA, Bench

EDIT = edit("slug.py", '"_"', '"-"')
SPOIL = edit("slug.py", '"_"', '"+"')
LEFT = "A plus is in place; a dash is wanted."
FINISH = answer({"summary": "Dashes now."}, "finish")
NOTE = answer({"summary": LEFT}, "finish")


class Puppet(PuppetModel):
    """A puppet that leaves a note when it has to land."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Land, or answer what is next."""
        if request.landing is not Landing.TURN:
            return await super().complete(request)
        self.requests.append(request)
        return NOTE if request.force_tool == "finish" else says(LEFT)


def use(bench: Bench, *replies: Reply) -> Puppet:
    """Let the built-in agent work with these replies."""
    model = Puppet({"code": replies})
    bench.use(agent=BuiltinAgent(), models=model)
    return model


async def test_an_empty_purse_lands_blocks_and_goes_on(bench: Bench) -> None:
    """A commit, a note, no pull request; set_budget lets it go on, and the note is read."""
    model = use(bench, SPOIL)
    # Two calls and the landing turn that is set aside: the third call does not fit.
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, budget_usd=Decimal("0.0239"))
    assert await bench.work("executor") == "parked"
    row = await bench.task(task)
    assert row["status"] == "blocked"
    assert row["blocked_reason"].startswith(f"purse task:{task}: cap 0.0239")
    assert "set_budget" in row["blocked_owner"]
    why = (await bench.rows("SELECT * FROM why($1)", task))[0]
    assert f"purse task:{task}" in why["reason"]
    log = (await bench.rows("SELECT * FROM execution_logs WHERE action = 'handoff'"))[0]
    assert log["message"] == LEFT
    assert '"+"' in json.loads(log["metadata"])["diff"]
    head = await bench.services.forge.branch_head(bench.origin.name, f"feature/{task}")
    assert head == json.loads(log["metadata"])["kept"]
    assert await bench.services.forge.find_pull(bench.origin.name, f"feature/{task}") is None
    assert await bench.rows("SELECT * FROM juggernaut.model_calls WHERE digest = ''") == []
    again = use(bench, EDIT, FINISH)
    await bench.operator.execute("SELECT set_budget($1, 1.00)", f"task:{task}")
    assert await bench.work("executor") == "completed"
    assert LEFT in again.requests[0].messages[0].text
    assert '"+"' in again.requests[0].messages[0].text
    assert handoff.EARLIER not in again.requests[0].messages[0].text
    assert len(model.requests) == 3
    assert await bench.rows("SELECT * FROM law_violations") == []


async def test_a_hand_off_of_an_earlier_text_says_so(bench: Bench) -> None:
    """The note is read, and so is that the task was changed after it."""
    use(bench, SPOIL)
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, budget_usd=Decimal("0.0239"))
    assert await bench.work("executor") == "parked"
    await bench.operator.execute("UPDATE governance_tasks SET title = 'x' WHERE id = $1", task)
    again = use(bench, EDIT, FINISH)
    await bench.operator.execute("SELECT set_budget($1, 1.00)", f"task:{task}")
    assert await bench.work("executor") == "completed"
    text = again.requests[0].messages[0].text
    assert text.index(handoff.EARLIER) < text.index(LEFT)


async def test_an_empty_purse_pays_the_note_of_a_program(bench: Bench, tmp_path: Path) -> None:
    """From what the first call set aside, once; the next attempt reads it."""
    model = use(bench, answer({"path": "slug.py", "content": "+"}, "write"))
    agent = CliAgent(ClaudeCode(), tmp_path / "agents", str(puppet_program(tmp_path)))
    bench.use(agent=agent)
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, budget_usd=Decimal("0.0239"))
    assert await bench.work("executor") == "parked"
    log = (await bench.rows("SELECT * FROM execution_logs WHERE action = 'handoff'"))[0]
    assert log["message"] == LEFT
    assert [one.landing for one in model.requests] == [
        *(Landing.KEPT_BARE, Landing.KEPT_BARE, Landing.TURN)
    ]
    calls = await bench.rows("SELECT state, cost_usd FROM juggernaut.model_calls")
    assert {(row["state"], row["cost_usd"]) for row in calls} == {("settled", Decimal("0.002"))}
    assert len(calls) == 3
    again = use(bench, EDIT, FINISH)
    await bench.operator.execute("SELECT set_budget($1, 1.00)", f"task:{task}")
    assert await bench.work("executor") == "completed"
    assert LEFT in again.requests[0].messages[0].text


async def test_out_of_turns_leaves_a_note_for_the_next_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt failed; the next one knows more."""
    monkeypatch.setattr("juggernaut.role.context.AGENT_TURNS", 2)
    use(bench, SPOIL, EDIT)
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    assert await bench.work("executor") == "retry"
    ended = await bench.rows("SELECT error_message FROM juggernaut.attempts")
    assert ended[0]["error_message"] == "out of turns after 2"
    again = use(bench, EDIT, FINISH)
    await bench.retry_now(task)
    assert await bench.work("executor") == "completed"
    assert LEFT in again.requests[0].messages[0].text


async def test_an_illegal_diff_is_not_kept(bench: Bench) -> None:
    """The note is; the branch is not."""
    use(bench, answer({"path": ".github/../x/.gitmodules", "content": "y"}, "write"), SPOIL)
    task = await bench.add_task(
        "documentation", budget_usd=Decimal("0.0239"), payload={"path": "README.md"}
    )
    assert await bench.work("executor") == "parked"
    log = (await bench.rows("SELECT * FROM execution_logs WHERE action = 'handoff'"))[0]
    assert "not documentation" in json.loads(log["metadata"])["kept"]
    head = await bench.services.forge.branch_head(bench.origin.name, f"feature/{task}")
    assert head is None


class Unpriced(PuppetModel):
    """A model that no table knows."""

    def max_price(self, request: ModelRequest) -> Decimal:
        """Ask the real table."""
        return PriceList("anthropic", "claude-nobody-0-0").bound(request)


async def test_an_unknown_price_ends_the_task(bench: Bench) -> None:
    """With the reason and the remedy, at once, and nothing went out."""
    model = Unpriced({"code": [EDIT]})
    bench.use(agent=BuiltinAgent(), models=model)
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    assert await bench.work("executor") == "failed"
    row = await bench.task(task)
    assert row["attempts"] == 1
    assert "no price is known for anthropic/claude-nobody-0-0" in row["error_message"]
    assert "ceilings_usd_per_mtok" in row["error_message"]
    assert model.requests == []
    assert await bench.rows("SELECT * FROM juggernaut.model_calls") == []


async def test_a_new_day_refills_the_purse(bench: Bench) -> None:
    """A task that the day's purse blocked goes on by itself, and only when there is room."""
    use(bench, EDIT, FINISH)
    await bench.operator.execute("SELECT set_budget('day', 0.015)")
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    assert await bench.work("executor") == "parked"
    assert (await bench.task(task))["blocked_reason"].startswith("purse day: cap 0.0150")
    store = bench.services.store
    assert (await store.sweep())["refilled"] == 0
    await bench.operator.execute("UPDATE budgets SET cap_usd = 0.05 WHERE scope = 'day'")
    await bench.operator.execute(
        "UPDATE budgets SET spent_usd = 0.05, period_start = period_start - 1 WHERE scope = 'day'"
    )
    assert (await store.sweep())["refilled"] == 1
    assert await bench.work("executor") == "completed"
    left = (await bench.rows("SELECT * FROM spend WHERE scope = 'day'"))[0]
    assert left["spent_usd"] == Decimal("0.004")
    assert (left["spent_tokens"], left["reserved_tokens"], left["left_tokens"]) == (30, 0, None)


async def test_a_dear_call_is_booked_as_far_as_there_is_room(bench: Bench) -> None:
    """More than was reserved is paid as far as each purse has room, and told as it was."""
    task = await bench.add_task("command", budget_usd=Decimal("0.03"))
    found = await bench.claim("executor")
    assert found is not None
    dear = replace(answer({}), cost_usd=Decimal("0.05"))
    bench.use(models=PuppetModel({"code": [dear]}))
    await Purser(Attempt(bench.services, found.task, found.lease))(ASKED)
    rows = await bench.rows(
        "SELECT spent_usd FROM spend WHERE scope IN ('day', $1)", f"task:{task}"
    )
    assert [row["spent_usd"] for row in rows] == [Decimal("0.03")] * 2
    (call,) = await bench.rows(
        "SELECT cost_usd, facts ->> 'told_usd' AS told FROM juggernaut.model_calls"
    )
    assert (call["cost_usd"], Decimal(call["told"])) == (Decimal("0.03"), Decimal("0.05"))
    alerts = await bench.rows("SELECT title FROM open_alerts WHERE kind = 'overspent_call'")
    assert len(alerts) == 1
