"""When a provider that fails is left alone: a circuit breaker, told the time by its caller.

closed --BREAKER_FAILURES within BREAKER_WINDOW_SECONDS--> open
open --after BREAKER_PAUSE_SECONDS--> half open: one probe at a time
half open --the probe worked--> closed, --it failed--> open

Besides that, a provider that asks to be left alone (Retry-After) is.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from juggernaut.domain.limits import (
    BREAKER_FAILURES,
    BREAKER_PAUSE_SECONDS,
    BREAKER_WINDOW_SECONDS,
    MODEL_REST_CAP_SECONDS,
)


@dataclass(slots=True)
class Breaker:
    """What this process knows of one provider; `now` is in seconds of a monotonic clock."""

    reason: str = ""  # of the last failure
    _failures: list[float] = field(default_factory=list)
    _closed: bool = True
    _not_before: float = 0.0

    def wait_seconds(self, now: float) -> float:
        """Give how long nobody may ask; 0 when a call may go."""
        return max(0.0, self._not_before - now)

    def begin(self, now: float) -> None:
        """Note that a call goes out: while it is open that is the probe, and others wait for it.

        A probe that never reports (its attempt was cancelled) holds up the next one for no longer
        than a pause.
        """
        if not self._closed:
            self._not_before = max(self._not_before, now + BREAKER_PAUSE_SECONDS)

    def worked(self) -> None:
        """Note a reply: whatever it was, it is over."""
        self._failures.clear()
        self._closed = True
        self._not_before = 0.0

    def failed(self, now: float, wished_seconds: float = 0.0, reason: str = "") -> None:
        """Note a failure, and for how long the provider wished to be left alone."""
        self.reason = reason
        self._failures = [at for at in self._failures if now - at < BREAKER_WINDOW_SECONDS]
        self._failures.append(now)
        if not self._closed or len(self._failures) >= BREAKER_FAILURES:
            self._closed = False
            self._not_before = max(self._not_before, now + BREAKER_PAUSE_SECONDS)
        rest = min(wished_seconds, MODEL_REST_CAP_SECONDS)
        self._not_before = max(self._not_before, now + rest)


@dataclass(frozen=True, slots=True)
class Breakers:
    """The breakers of a process, one per provider."""

    _all: defaultdict[str, Breaker] = field(default_factory=lambda: defaultdict(Breaker))

    def of(self, model: str) -> Breaker:
        """Give the breaker of a model's provider; `model` is provider/model."""
        return self._all[model.partition("/")[0]]
