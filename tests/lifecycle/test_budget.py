"""Model calls: reserved before, settled after, scrubbed on the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from juggernaut.domain.errors import (
    AttemptError,
    BudgetExhausted,
    ModelGarbled,
    ModelRefused,
    ModelUnavailable,
)
from juggernaut.domain.exchange import Message, ModelRequest
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.budget import Purser
from tests.fakes.puppets import PuppetModel, Reply, says
from tests.roles.bench import FAKE_SECRET, Bench

ASKED = ModelRequest("code", f"rules {FAKE_SECRET}", (Message("user", f"do {FAKE_SECRET}"),))


class HurriedClock:
    """A clock whose waits are short; it remembers them."""

    def __init__(self) -> None:
        """Begin."""
        self.waits: list[float] = []

    def monotonic(self) -> float:
        """Go on by what was waited for."""
        return sum(self.waits)

    async def sleep(self, seconds: float) -> None:
        """Remember a wait."""
        self.waits.append(seconds)


async def purser(bench: Bench, replies: Sequence[Reply]) -> tuple[Purser, PuppetModel]:
    """Claim a task and give its purser, over a model with these replies."""
    model = PuppetModel({"code": replies})
    await bench.add_task("command", budget_usd=Decimal("0.025"))
    found = await bench.claim("executor")
    assert found is not None
    services = replace(bench.services, models=model, clock=HurriedClock())
    return Purser(Attempt(services, found.task, found.lease)), model


async def ledger(bench: Bench) -> list[tuple[str, Decimal]]:
    """Give state and cost of every call in the ledger."""
    rows = await bench.rows("SELECT state, cost_usd FROM juggernaut.model_calls ORDER BY id")
    return sorted((row["state"], row["cost_usd"]) for row in rows)


async def test_a_call_costs_what_it_cost(bench: Bench) -> None:
    """The reservation is replaced by the price; no prompt is in the ledger, no secret left."""
    ask, model = await purser(bench, [says("fine")])
    assert (await ask(ASKED)).text == "fine"
    assert await ledger(bench) == [("settled", Decimal("0.002000"))]
    sent = model.requests[0]
    assert sent.system == "rules [redacted]"
    assert sent.messages[0].text == "do [redacted]"
    row = (await bench.rows("SELECT * FROM juggernaut.model_calls"))[0]
    assert "rules" not in str(tuple(row))


async def test_the_purse_stops_the_third_call(bench: Bench) -> None:
    """What is spent and what the next call may cost stay below the cap."""
    ask, model = await purser(bench, [says("fine")])
    for _ in range(8):
        await ask(ASKED)
    with pytest.raises(BudgetExhausted, match="task:"):
        await ask(ASKED)
    assert len(model.requests) == 8


@pytest.mark.parametrize(
    ("replies", "error", "costs"),
    [
        ([ModelRefused("401")], ModelRefused, ["0"]),
        ([ModelUnavailable("529")], ModelUnavailable, ["0"] * 4),
        ([ModelGarbled("cut")], ModelGarbled, ["0.01"] * 2),
        ([ModelUnavailable("hung up", maybe_billed=True)], BudgetExhausted, ["0.01"] * 2),
        ([ModelUnavailable("wait", retry_after_seconds=3600)], ModelUnavailable, ["0"]),
    ],
)
async def test_a_call_that_fails_is_settled(
    bench: Bench, replies: list[Reply], error: type[AttemptError], costs: list[str]
) -> None:
    """Garbled: at the full price. Turned away: for nothing. Each try is a call of its own."""
    ask, _ = await purser(bench, replies)
    with pytest.raises(error):
        await ask(ASKED)
    assert await ledger(bench) == [("settled", Decimal(cost)) for cost in costs]


async def test_an_overloaded_model_is_asked_again(bench: Bench) -> None:
    """Not sooner than it wishes."""
    ask, model = await purser(
        bench, [ModelUnavailable("529", retry_after_seconds=7.5), says("fine")]
    )
    assert (await ask(ASKED)).text == "fine"
    assert len(model.requests) == 2


async def test_a_call_that_dies_keeps_its_reservation(bench: Bench) -> None:
    """Nobody knows what it cost."""
    ask, _ = await purser(bench, [KeyError("a bug in an adapter")])
    with pytest.raises(KeyError):
        await ask(ASKED)
    rows = await bench.rows("SELECT state, reserved_usd FROM juggernaut.model_calls")
    assert [tuple(row) for row in rows] == [("reserved", Decimal("0.010000"))]
