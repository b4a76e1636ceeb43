"""B4: a model that never comes to an end stops at the cap, whatever it answers.

Default: 25 seeds. Full: 1,000.
"""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from juggernaut.coder.loop import BuiltinAgent
from juggernaut.domain.breaker import Breakers
from juggernaut.domain.errors import (
    AttemptError,
    BudgetExhausted,
    ModelGarbled,
    ModelsBusy,
    ModelUnavailable,
)
from juggernaut.domain.exchange import (
    AgentRequest,
    ModelReply,
    ModelRequest,
    StopReason,
    ToolCall,
    Usage,
)
from juggernaut.domain.limits import BREAKER_PAUSE_SECONDS
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.budget import Purser
from tests.fakes.puppets import PuppetModel
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_b import ADVERSARY
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials
from tests.lifecycle.test_budget import HurriedClock
from tests.roles.bench import Bench

SEEDS = trials(25, 1_000)
CAP = Decimal("0.15")
MOST_CALLS = 200
KINDS = ("garbled", "cut off", "silent", "nonsense", "no ids", "work", "hangs up", "finish")


class Adversary(PuppetModel):
    """Answers so that it is asked again; what a call costs is up to it, below the bound."""

    def __init__(self, seed: int) -> None:
        """Draw the answers from a seed."""
        super().__init__({})
        self._dice = random.Random(seed)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Answer with something that is no end."""
        self.requests.append(request)
        assert len(self.requests) <= MOST_CALLS, "the model is asked for ever"
        kind = self._dice.choice(KINDS)
        number = len(self.requests)
        if kind == "garbled":
            raise ModelGarbled("retry")
        if kind == "hangs up":
            raise ModelUnavailable("retry", maybe_billed=True)
        calls = {
            "nonsense": (ToolCall("1", "retry", {}), ToolCall("2", "run", {"argv": "retry"})),
            "no ids": (ToolCall("", "list", {}), ToolCall("", "list", {})),
            "work": (ToolCall("1", "write", {"path": f"f{number}", "content": "retry"}),),
            "finish": (ToolCall("1", "finish", {"summary": ""}),),
        }.get(kind, ())
        return ModelReply(
            text="retry",
            tool_calls=calls,
            stop=StopReason.LENGTH if kind == "cut off" else StopReason.END,
            usage=Usage(self._dice.randint(0, 500), self._dice.randint(0, 500)),
            model=self.name,
            cost_usd=Decimal(self._dice.randint(10, 100)) / 10_000,
        )


async def check_stops(bench: Bench, folder: Path, seeds: int) -> None:
    """The agent is executed again and again until the purse ends it, within the cap."""
    await bench.operator.execute("SELECT set_budget('day', 1000000)")  # the task's purse decides
    for seed in range(seeds):
        task = await bench.add_task("command", budget_usd=CAP)
        found = await bench.claim("executor")
        assert found is not None
        # Nobody beats here, and a thousand seeds take longer than a session lives.
        await bench.operator.execute(
            "UPDATE juggernaut.sessions SET expires_at = clock_timestamp() + interval '1 minute'"
        )
        model = Adversary(seed)
        clock = HurriedClock()
        services = replace(bench.services, models=model, clock=clock, breakers=Breakers())
        attempt = Attempt(services, found.task, found.lease)
        tree = folder / str(seed)
        tree.mkdir()
        request = AgentRequest("Do it.", "rules", str(tree), None, 40, 30.0)
        for _ in range(MOST_CALLS):
            try:
                await BuiltinAgent().execute(request, Purser(attempt), bench.services.sandbox)
            except BudgetExhausted:
                break
            except ModelsBusy:
                await clock.sleep(BREAKER_PAUSE_SECONDS)
            except AttemptError as error:
                assert error.code in ("model_garbled", "model_unavailable"), error
        else:
            raise AssertionError("the purse never said no")
        row = (
            await bench.rows(
                "SELECT count(*) AS calls, sum(coalesce(cost_usd, reserved_usd)) AS usd,"
                " count(*) FILTER (WHERE digest = '') AS aside"
                " FROM juggernaut.model_calls WHERE task_id = $1",
                task,
            )
        )[0]
        assert row["calls"] > 0, f"seed {seed}: no call was ever paid"
        assert row["usd"] <= CAP, f"seed {seed}: {row['usd']} of {CAP}"
        assert row["calls"] - row["aside"] == len(model.requests)
        await bench.operator.execute("SELECT cancel_task($1)", task)
    assert await bench.rows("SELECT * FROM law_violations") == []


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
async def test_an_adversary_stops_at_the_cap(bench: Bench, tmp_path: Path) -> None:
    """Whatever the seed."""
    await check_stops(bench, tmp_path, SEEDS)


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
@pytest.mark.parametrize("mutant", ADVERSARY, ids=lambda mutant: mutant.name)
async def test_mutants(bench: Bench, tmp_path: Path, mutant: Mutant) -> None:
    """Each lets it go on."""
    await mutant.apply(bench.operator)
    with pytest.raises(AssertionError):
        await check_stops(bench, tmp_path, 2)
