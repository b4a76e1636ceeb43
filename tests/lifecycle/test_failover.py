"""Who is asked when a model fails, within one budget of requests, and rates of the whole fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from juggernaut.domain.breaker import Breakers
from juggernaut.domain.errors import (
    LawRefused,
    ModelError,
    ModelGarbled,
    ModelRefused,
    ModelsBusy,
    ModelUnavailable,
)
from juggernaut.domain.exchange import Message, ModelRequest, Terms
from juggernaut.domain.limits import BREAKER_FAILURES, MODEL_TRIES
from juggernaut.domain.model import Completion
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.budget import Purser
from juggernaut.lifecycle.execute import run_attempt
from juggernaut.ports import Choice
from tests.fakes.puppets import PuppetModel, Reply, says
from tests.lifecycle.test_budget import HurriedClock
from tests.lifecycle.test_execute import GOOD, Actor
from tests.roles.bench import Bench

ASKED = ModelRequest("code", "rules", (Message("user", "do it"),))
OVERLOADED = ModelUnavailable("529")
LATER = ModelUnavailable("429", retry_after_seconds=7.5)
MUCH_LATER = ModelUnavailable("429", retry_after_seconds=3_600)
NINETY = ModelUnavailable("429: slow down", retry_after_seconds=90)
LEFT = "SELECT attempts, extract(epoch FROM run_after - now()) AS left FROM governance_tasks"
GARBLED = ModelGarbled("cut")


class Named(PuppetModel):
    """A puppet of a provider of its own."""

    def __init__(self, provider: str, replies: Sequence[Reply]) -> None:
        """Learn name and replies."""
        super().__init__({"code": replies, "research": replies})
        self._name = f"{provider}/model"

    @property
    def name(self) -> str:
        """Give provider/model."""
        return self._name


@dataclass(frozen=True)
class InOrder:
    """Models in a fixed order."""

    choices: tuple[Choice, ...]

    def for_purpose(self, purpose: str) -> Sequence[Choice]:
        """Give them."""
        return self.choices

    def named(self, name: str) -> Sequence[Choice]:
        """Give them to every name."""
        return self.choices


@dataclass
class Scene:
    """Two providers, a claimed task and its purser."""

    ask: Purser
    models: tuple[Named, Named]
    clock: HurriedClock

    def counts(self) -> tuple[int, int]:
        """Give how many requests each of them got."""
        return len(self.models[0].requests), len(self.models[1].requests)


async def scene(
    bench: Bench,
    first: Sequence[Reply],
    second: Sequence[Reply],
    terms: Terms | None = None,
) -> Scene:
    """Claim a task; the terms are those of the first model."""
    models = Named("one", first), Named("two", second)
    clock = HurriedClock()
    line = InOrder((Choice(models[0], terms or Terms()), Choice(models[1])))
    await bench.add_task("command", budget_usd=Decimal(1))
    found = await bench.claim("executor")
    assert found is not None
    services = replace(bench.services, models=line, clock=clock, breakers=Breakers())
    return Scene(Purser(Attempt(services, found.task, found.lease)), models, clock)


@pytest.mark.parametrize(
    ("first", "second", "counts", "waits"),
    [
        ([OVERLOADED], [says("two")], (1, 1), 1),
        ([LATER], [says("two")], (1, 1), 1),
        ([MUCH_LATER], [says("two")], (1, 1), 1),
        ([GARBLED], [says("two")], (1, 1), 1),
        ([OVERLOADED, says("one")], [OVERLOADED], (2, 1), 2),
        ([LATER, says("one")], [MUCH_LATER], (2, 1), 2),
    ],
)
async def test_the_next_one_is_asked_at_once(
    bench: Bench, first: list[Reply], second: list[Reply], counts: tuple[int, int], waits: int
) -> None:
    """No pause while somebody else can answer; never sooner than a provider wishes."""
    there = await scene(bench, first, second)
    await there.ask(ASKED)
    assert there.counts() == counts
    assert len(there.clock.waits) == waits
    assert there.clock.waits[0] == 0
    if LATER in first and waits > 1:
        assert there.clock.waits[1] >= 7.5


@pytest.mark.parametrize(
    ("first", "second", "kind", "requests"),
    [
        ([OVERLOADED], [OVERLOADED], ModelsBusy, MODEL_TRIES),
        ([MUCH_LATER], [MUCH_LATER], ModelsBusy, 2),
        ([GARBLED], [GARBLED], ModelGarbled, 2),
        ([ModelUnavailable("cut", maybe_billed=True)], [OVERLOADED], ModelUnavailable, MODEL_TRIES),
        ([ModelRefused("401")], [says("two")], ModelRefused, 1),
    ],
)
async def test_all_of_them_share_one_budget(
    bench: Bench, first: list[Reply], second: list[Reply], kind: type[ModelError], requests: int
) -> None:
    """What is refused is not repeated elsewhere; what may be billed counts as an attempt."""
    there = await scene(bench, first, second)
    with pytest.raises(ModelError) as caught:
        await there.ask(ASKED)
    assert type(caught.value) is kind
    assert sum(there.counts()) == requests
    assert len(await bench.rows("SELECT FROM juggernaut.model_calls")) == requests


async def test_a_provider_that_keeps_failing_is_left_alone(bench: Bench) -> None:
    """Its breaker opens for the process: the next calls go past it, then one probe."""
    there = await scene(bench, [OVERLOADED] * BREAKER_FAILURES + [says("one")], [says("two")])
    for _ in range(BREAKER_FAILURES + 3):
        assert (await there.ask(ASKED)).text == "two"
    assert there.counts()[0] == BREAKER_FAILURES
    there.clock.waits.append(60.0)
    assert (await there.ask(ASKED)).text == "one"


async def test_what_fits_no_context_is_not_sent(bench: Bench) -> None:
    """A small model is passed by; where all are too small, the task says so."""
    small = Terms(context_tokens=1_000)
    there = await scene(bench, [says("one")], [says("two")], small)
    assert (await there.ask(ASKED)).text == "two"
    models = InOrder((Choice(there.models[0], small),))
    attempt = there.ask._attempt
    alone = Purser(replace(attempt, services=replace(attempt.services, models=models)))
    with pytest.raises(ModelRefused, match=r"more than one/model \(1000\) has"):
        await alone(ASKED)
    assert there.counts() == (0, 1)


async def test_a_rate_sends_the_rest_to_the_next_one(bench: Bench) -> None:
    """The fleet's requests per minute are never passed, and nobody waits in vain."""
    there = await scene(bench, [says("one")], [says("two")], Terms(requests_per_minute=3))
    said = [(await there.ask(ASKED)).text for _ in range(5)]
    assert said == ["one"] * 3 + ["two"] * 2


async def test_rates_hold_for_the_whole_fleet(bench: Bench) -> None:
    """Forty calls at once get as many as the minute has; unused tokens come back."""
    store = bench.services.store
    rates = Terms(requests_per_minute=10, tokens_per_minute=1_000_000)
    waits = await asyncio.gather(*(store.take_rate("p/m", rates, 10) for _ in range(40)))
    assert waits.count(0) == 10
    assert all(0 < wait <= 6 for wait in waits if wait)
    tokens = Terms(tokens_per_minute=1_000)
    assert await store.take_rate("p/t", tokens, 900) == 0
    assert 0 < await store.take_rate("p/t", tokens, 900) <= 60
    await store.give_rate("p/t", tokens, 890)
    assert await store.take_rate("p/t", tokens, 900) == 0
    assert await store.take_rate("p/big", tokens, 5_000) == 0, "a large call goes alone"
    assert await store.take_rate("p/big", tokens, 1) > 200
    with pytest.raises(LawRefused, match="must be above 0"):
        await store.take_rate("p/m", Terms(requests_per_minute=-1), 10)


async def test_when_nobody_can_answer_the_task_waits_and_says_why(bench: Bench) -> None:
    """Put off uncounted, with the provider's words; the next time for twice as long."""
    bench.use(models=InOrder((Choice(Named("one", [NINETY])),)))
    await bench.add_task("command")
    pauses = []

    async def act(attempt: Attempt) -> Completion:
        """Ask a model."""
        await Purser(attempt)(ASKED)
        return GOOD

    for _ in range(2):
        found = await bench.claim("executor")
        assert found is not None
        assert await run_attempt(bench.services, Actor(act), found, lambda: False) == "released"
        row = (await bench.rows("SELECT * FROM why_idle"))[0]
        assert "models_busy: no model can answer now: 429: slow down" in row["reason"]
        left = (await bench.rows(LEFT))[0]
        assert left["attempts"] == 0
        pauses.append(left["left"])
        await bench.retry_now(row["task_id"])
    assert 80 < pauses[0] <= 90
    assert 160 < pauses[1] <= 180
