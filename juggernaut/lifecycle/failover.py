"""Failover: who is asked next within one call, when nobody is, and what is said of it.

The models of a purpose stand in a line, best first. Whoever fails goes to the back for this call,
and its provider rests for as long as it wished or its breaker says; the next one is asked at once.
All of them together get MODEL_TRIES requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tenacity import RetryCallState, wait_random_exponential

from juggernaut.domain.breaker import Breakers
from juggernaut.domain.errors import (
    ModelError,
    ModelGarbled,
    ModelRefused,
    ModelsBusy,
    ModelUnavailable,
)
from juggernaut.domain.exchange import ModelRequest
from juggernaut.domain.limits import (
    MODEL_GARBLED_RETRIES,
    MODEL_REST_SECONDS,
    MODEL_RETRY_BASE_SECONDS,
    MODEL_RETRY_CAP_SECONDS,
)
from juggernaut.domain.tokens import typical_tokens
from juggernaut.ports import Choice, Clock

_BACKOFF = wait_random_exponential(multiplier=MODEL_RETRY_BASE_SECONDS, max=MODEL_RETRY_CAP_SECONDS)


class Resting(ModelUnavailable):
    """Nobody may be asked at this moment, and nobody was."""


@dataclass(slots=True)
class Line:
    """The models that may answer one call, and what became of each so far."""

    choices: list[Choice]
    breakers: Breakers
    clock: Clock
    _failures: dict[str, str] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)
    _garbled: int = 0
    _billed: bool = False

    def pick(self) -> Choice:
        """Give the first one that may be asked now; raises Resting when there is none."""
        for choice in self.choices:
            if self._wait_of(choice) <= 0:
                return choice
        raise Resting(self._told())

    def begin(self, choice: Choice) -> None:
        """Note that a request goes out."""
        self.breakers.of(choice.model.name).begin(self.clock.monotonic())

    def worked(self, choice: Choice) -> None:
        """Note a reply, also one that says no: the provider works."""
        self.breakers.of(choice.model.name).worked()

    def full(self, choice: Choice, seconds: float) -> None:
        """Note that the fleet has used up a model's rate for so long; nobody was asked."""
        name = choice.model.name
        self._failures[name] = f"{name}: the fleet's rate per minute is used up ({seconds:.0f} s)"
        self._until[name] = self.clock.monotonic() + seconds

    def failed(self, choice: Choice, error: ModelError) -> None:
        """Note a failure: the others come first for the rest of this call."""
        if isinstance(error, ModelRefused):
            self.worked(choice)
        if not isinstance(error, (ModelUnavailable, ModelGarbled)):
            return
        self._garbled += isinstance(error, ModelGarbled)
        self._billed |= isinstance(error, ModelGarbled) or error.maybe_billed
        wished = error.retry_after_seconds if isinstance(error, ModelUnavailable) else None
        name = choice.model.name
        self.breakers.of(name).failed(self.clock.monotonic(), wished or 0.0, str(error))
        self._failures[name] = str(error)
        self.choices.remove(choice)
        self.choices.append(choice)

    def may_ask_again(self, error: BaseException) -> bool:
        """Say whether another try can help.

        Where all wish a longer pause than the cap, the attempt ends, and the task comes back later
        without holding a worker.
        """
        if isinstance(error, ModelGarbled) and self._garbled > MODEL_GARBLED_RETRIES:
            return False
        if isinstance(error, (ModelUnavailable, ModelGarbled)):
            return self._wait_seconds() <= MODEL_RETRY_CAP_SECONDS
        return False

    def pause_seconds(self, state: RetryCallState) -> float:
        """Give nothing where somebody else can be asked, else a jittered back-off or longer."""
        first = self.choices[0]
        if first.model.name not in self._failures and self._wait_of(first) <= 0:
            return 0.0
        return max(_BACKOFF(state), self._wait_seconds())

    def end(self, error: ModelError) -> ModelError:
        """Give what the call ends with: a rest that does not count, if nothing was billed."""
        if not isinstance(error, ModelUnavailable) or self._billed:
            return error
        rest = self._wait_seconds() or MODEL_REST_SECONDS
        return ModelsBusy(self._told(), retry_after_seconds=rest)

    def _told(self) -> str:
        """Say why each of them cannot answer."""
        reasons = (
            self._failures.get(choice.model.name) or self.breakers.of(choice.model.name).reason
            for choice in self.choices
        )
        return f"no model can answer now: {'; '.join(reasons)}"

    def _wait_seconds(self) -> float:
        """Give the seconds until the first of them may be asked."""
        return min(map(self._wait_of, self.choices))

    def _wait_of(self, choice: Choice) -> float:
        """Give the seconds until one may be asked."""
        now, name = self.clock.monotonic(), choice.model.name
        return max(self.breakers.of(name).wait_seconds(now), self._until.get(name, now) - now)


def line_for(
    choices: Sequence[Choice], request: ModelRequest, breakers: Breakers, clock: Clock
) -> Line:
    """Line up those whose context holds the request; raises ModelRefused when none does."""
    need = typical_tokens(request)
    fit = [one for one in choices if (one.terms.context_tokens or need) >= need]
    if not fit:
        sizes = ", ".join(f"{one.model.name} ({one.terms.context_tokens})" for one in choices)
        raise ModelRefused(
            f"the request needs about {need} tokens of context, more than {sizes} has;"
            " split the task, or set a model with a larger context in models.yaml"
        )
    return Line(fit, breakers, clock)
