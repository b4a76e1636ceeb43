"""B4 with many at once: no purse is passed, whatever models do that hide, retry and never end.

Tasks of one goal ask at the same time, each by several callers; the purse that ends it is the
task's, the goal's or the day's. What the provider charges is counted apart from the database.
Default: 40 seeds. Full: 1,000.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

import pytest

from juggernaut.adapters.llm.prices import PriceList
from juggernaut.domain.breaker import Breakers
from juggernaut.domain.errors import (
    BudgetExhausted,
    JuggernautError,
    ModelGarbled,
    ModelUnavailable,
)
from juggernaut.domain.exchange import Message, ModelReply, ModelRequest, StopReason, Usage
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.budget import Purser
from tests.fakes.puppets import PuppetModel
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_b import ADVERSARY
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials
from tests.lifecycle.test_budget import HurriedClock
from tests.roles.bench import Bench

SEEDS = trials(40, 1_000)
ROUNDS = 30
ROOM = 1_000_000
PRICES = PriceList("anthropic", "claude-sonnet-5-5")
FREE, CUT, HANGS, HIDES, TINY, HUGE, DIES = "free", "cut", "hangs", "hides", "tiny", "huge", "dies"
KINDS = (FREE, CUT, HANGS, HIDES, TINY, HUGE, HUGE, DIES)
# Nobody beats here, and a thousand seeds take longer than a lease without a beat.
PATIENT = "UPDATE juggernaut.thresholds SET value = 3600 WHERE name = 'session_seconds'"
TABLE = "SELECT scope FROM budgets WHERE spent_usd + reserved_usd > cap_usd"


class Greedy(PuppetModel):
    """Never ends, and counts what its provider charges: what is true, whatever it reports."""

    def __init__(self, dice: random.Random) -> None:
        """Draw what happens."""
        super().__init__({})
        self._dice = dice
        self.charged = Decimal(0)
        self.dearest = Decimal(0)

    def max_price(self, request: ModelRequest) -> Decimal:
        """Give the bound, as a real model does."""
        return PRICES.bound(request)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Charge something, and say something else, or nothing, or break off."""
        self.requests.append(request)
        kind = self._dice.choice(KINDS)
        share = 0 if kind == TINY else self._dice.randint(1, request.max_tokens)
        spent = Usage(self._dice.randint(1, 50), request.max_tokens if kind == HUGE else share)
        for _ in range(self._dice.randint(0, 3)):
            await asyncio.sleep(0)  # others come between
        if kind == FREE:
            raise ModelUnavailable("429: too many requests")
        self.charged += PRICES.cost(spent)
        self.dearest = max(self.dearest, PRICES.bound(request))
        if kind == CUT:
            raise ModelGarbled("cut")
        if kind == HANGS:
            raise ModelUnavailable("hung up", maybe_billed=True)
        if kind == DIES:
            raise asyncio.CancelledError
        told = None if kind == HIDES else spent
        cost = PRICES.settle(told, request)
        return ModelReply("again", (), StopReason.END, told or Usage(), self.name, cost)


@dataclass(frozen=True, slots=True)
class Purses:
    """What one seed may spend at each level."""

    day: Decimal
    goal: Decimal
    task: Decimal

    @classmethod
    def drawn(cls, dice: random.Random) -> Purses:
        """Let one of the three be the narrow one."""
        narrow = Decimal(dice.randint(2, 25)) / 100
        caps = [narrow, narrow * 3, narrow * 9]
        dice.shuffle(caps)
        return cls(*caps)


async def tasks_of(bench: Bench, purses: Purses, number: int) -> list[Attempt]:
    """Add a goal with some tasks, and claim them."""
    spent = await bench.operator.fetchval(
        "SELECT spent_usd + reserved_usd FROM budgets WHERE scope = 'day'"
    ) or Decimal(0)
    await bench.operator.execute("SELECT set_budget('day', $1)", spent + purses.day)
    goal: UUID = await bench.operator.fetchval(
        "INSERT INTO goals (title, budget_usd) VALUES ('spend', $1) RETURNING id", purses.goal
    )
    for _ in range(number):
        await bench.add_task("command", goal_id=goal, budget_usd=purses.task)
    attempts = []
    for _ in range(number):
        found = await bench.claim("executor")
        assert found is not None
        attempts.append(Attempt(bench.services, found.task, found.lease))
    return attempts


async def insist(attempt: Attempt, tokens: int) -> bool:
    """Ask again whatever comes back, until a purse is empty; False when none ever was."""
    ask = Purser(attempt)
    request = ModelRequest("code", "rules", (Message("user", "again"),), max_tokens=tokens)
    for _ in range(ROUNDS):
        try:
            await ask(request)
        except BudgetExhausted:
            return True
        except (JuggernautError, asyncio.CancelledError):
            continue  # a caller that dies, and one that comes back
    return False


async def check_purses(bench: Bench, seeds: int) -> None:
    """What was charged stays below each cap that applies, and the books agree with themselves."""
    ended = 0
    await bench.operator.execute(PATIENT)
    for seed in range(seeds):
        dice = random.Random(seed)
        purses, model = Purses.drawn(dice), Greedy(dice)
        services = replace(bench.services, models=model, clock=HurriedClock(), breakers=Breakers())
        found = await tasks_of(bench, purses, dice.randint(1, 3))
        attempts = [replace(attempt, services=services) for attempt in found]
        tokens = dice.randint(50, 2_000)
        callers = [attempt for attempt in attempts for _ in range(dice.randint(1, 4))]
        ended += sum(await asyncio.gather(*(insist(one, tokens) for one in callers)))
        cap = min(purses.day, purses.goal, purses.task * len(attempts))
        assert model.charged <= cap + model.dearest, f"seed {seed}: {model.charged} of {cap}"
        assert await bench.rows(TABLE) == []
        for attempt in attempts:
            booked = await bench.operator.fetchval(
                "SELECT sum(coalesce(cost_usd, reserved_usd)) FROM juggernaut.model_calls"
                " WHERE task_id = $1",
                attempt.task.id,
            )
            assert (booked or 0) <= purses.task, f"seed {seed}: {booked} of {purses.task}"
            await bench.operator.execute("SELECT cancel_task($1)", attempt.task.id)
    assert ended > seeds, "the purse hardly ever said no"
    assert await bench.rows("SELECT * FROM law_violations") == []


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
async def test_no_purse_is_passed(bench: Bench) -> None:
    """By more than one call; in truth by none."""
    await check_purses(bench, SEEDS)


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
@pytest.mark.parametrize("mutant", ADVERSARY, ids=lambda mutant: mutant.name)
async def test_mutants(bench: Bench, mutant: Mutant) -> None:
    """Each lets it go on."""
    await mutant.apply(bench.operator)
    with pytest.raises(AssertionError):
        await check_purses(bench, 4)
