"""Each fault of a provider through the purse, over the real SDKs: outcome, requests, money.

The outcome of a fault is what comes after it: the server answers well from then on ("ok" after so
many requests), or it goes on failing, and the call ends within its budget of requests.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from juggernaut.domain.breaker import Breakers
from juggernaut.domain.errors import (
    ModelError,
    ModelGarbled,
    ModelRefused,
    ModelsBusy,
    ModelUnavailable,
)
from juggernaut.domain.limits import MODEL_TRIES
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.budget import Purser
from juggernaut.ports import Choice
from tests.fakes.model_requests import WIRES, ask, wire_model
from tests.fakes.wire_server import RETRY_AFTER_SECONDS, Fault, WireServer
from tests.lifecycle.conftest import bench
from tests.lifecycle.test_budget import HurriedClock
from tests.lifecycle.test_failover import InOrder
from tests.roles.bench import Bench

__all__ = ["bench"]

STALL_SECONDS = 0.1


@dataclass(frozen=True)
class Outcome:
    """What a fault comes to: requests until a good reply, the end when it goes on, who pays."""

    recovers_after: int | None
    ends_as: type[ModelError] | None
    ends_after: int
    billed: bool


WAITS = Outcome(2, ModelsBusy, MODEL_TRIES, billed=False)
LOST = Outcome(2, ModelUnavailable, MODEL_TRIES, billed=True)
BROKEN = Outcome(2, ModelGarbled, 2, billed=True)
FINAL = Outcome(None, ModelRefused, 1, billed=False)
USED = Outcome(1, None, 1, billed=True)
OUTCOMES = {
    Fault.UNAUTHORIZED: FINAL,
    Fault.BAD_REQUEST: FINAL,
    Fault.CONTEXT_OVERFLOW: FINAL,
    Fault.NO_SUCH_MODEL: FINAL,
    Fault.REFUSAL: FINAL,
    Fault.RATE_LIMITED: WAITS,
    Fault.SERVER_ERROR: WAITS,
    Fault.OVERLOADED: WAITS,
    Fault.DISCONNECT: LOST,
    Fault.CUT_BODY: LOST,
    Fault.STALL_INSIDE: LOST,
    Fault.ERROR_INSIDE: LOST,
    Fault.GARBLED: BROKEN,
    Fault.TRUNCATED: BROKEN,
    Fault.NO_STOP: BROKEN,
    Fault.BAD_ARGUMENTS: BROKEN,
    Fault.NO_USAGE: USED,
    Fault.WRONG_MODEL: USED,
}


@dataclass
class Desk:
    """One provider behind the purse of an attempt."""

    attempt: Attempt
    provider: str
    bench: Bench

    async def tried(
        self, faults: list[Fault], second: str | None = None
    ) -> tuple[list[WireServer], ModelError | None, HurriedClock]:
        """Make one call with servers of its own; gives them, the error, and the waits."""
        clock = HurriedClock()
        async with AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(WIRES[self.provider](faults=faults))]
            kinds = [self.provider]
            if second is not None:
                servers.append(await stack.enter_async_context(WIRES[second]()))
                kinds.append(second)
            choices = tuple(
                Choice(wire_model(kind, server.url, stall_seconds=STALL_SECONDS))
                for kind, server in zip(kinds, servers, strict=True)
            )
            services = replace(
                self.attempt.services,
                models=InOrder(choices),
                clock=clock,
                breakers=Breakers(),
            )
            error = None
            try:
                await Purser(replace(self.attempt, services=services))(ask("hello"))
            except ModelError as caught:
                error = caught
        return servers, error, clock

    async def costs(self) -> list[Decimal]:
        """Give what each call cost so far, in order; every one is settled."""
        rows = await self.bench.rows(
            "SELECT cost_usd, state FROM juggernaut.model_calls ORDER BY reserved_at"
        )
        assert {row["state"] for row in rows} <= {"settled"}
        return [row["cost_usd"] for row in rows]


@pytest.fixture(params=[*WIRES])
async def desk(request: pytest.FixtureRequest, bench: Bench) -> Desk:
    """Give a provider behind the purse of a claimed task."""
    await bench.add_task("command", budget_usd=Decimal(5))
    found = await bench.claim("executor")
    assert found is not None
    return Desk(Attempt(bench.services, found.task, found.lease), request.param, bench)


async def test_each_fault_has_its_outcome(desk: Desk) -> None:
    """Once, and then all is well: the requests that it takes, each paid for as it was."""
    before = 0
    for fault, outcome in OUTCOMES.items():
        (server,), error, clock = await desk.tried([fault])
        expected = outcome.recovers_after or 1
        assert len(server.requests) == expected, fault
        assert (error is None) == (outcome.recovers_after is not None), fault
        costs = (await desk.costs())[before:]
        before += len(costs)
        assert len(costs) == expected, fault
        assert (costs[0] > 0) == outcome.billed, fault
        if fault is Fault.RATE_LIMITED:
            assert clock.waits[0] >= RETRY_AFTER_SECONDS


async def test_no_fault_takes_more_requests_than_the_budget(desk: Desk) -> None:
    """For ever, and each ends as it says; what was billed adds up."""
    for fault, outcome in OUTCOMES.items():
        if outcome.ends_as is None:
            continue
        (server,), error, _ = await desk.tried([fault] * 2 * MODEL_TRIES)
        assert type(error) is outcome.ends_as, fault
        assert len(server.requests) == outcome.ends_after <= MODEL_TRIES, fault


async def test_another_provider_takes_over_before_the_budget_is_gone(desk: Desk) -> None:
    """The other SDK answers the second request; a refusal does not go there."""
    other = "openai" if desk.provider == "anthropic" else "anthropic"
    for fault, outcome in OUTCOMES.items():
        (first, second), error, clock = await desk.tried([fault] * MODEL_TRIES, other)
        taken_over = outcome in {WAITS, LOST, BROKEN}
        assert (len(first.requests), len(second.requests)) == (1, int(taken_over)), fault
        assert (error is None) == (outcome is not FINAL), fault
        assert clock.waits == [0] * taken_over, fault
