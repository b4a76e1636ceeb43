"""The circuit breaker of a provider: pure, with the time told to it."""

from __future__ import annotations

from juggernaut.domain.breaker import Breaker, Breakers
from juggernaut.domain.limits import (
    BREAKER_FAILURES,
    BREAKER_PAUSE_SECONDS,
    BREAKER_WINDOW_SECONDS,
    MODEL_REST_CAP_SECONDS,
)


def opened(at: float = 0.0) -> Breaker:
    """Give a breaker that has just opened."""
    breaker = Breaker()
    for _ in range(BREAKER_FAILURES):
        assert breaker.wait_seconds(at) == 0
        breaker.failed(at)
    return breaker


def test_it_opens_after_enough_failures_and_closes_after_a_good_probe() -> None:
    """Open, half open for one probe, closed; it then takes as many failures as before."""
    breaker = opened()
    assert breaker.wait_seconds(0) == BREAKER_PAUSE_SECONDS
    half = BREAKER_PAUSE_SECONDS
    assert breaker.wait_seconds(half) == 0
    breaker.begin(half)
    assert breaker.wait_seconds(half) > 0, "a second probe at the same time"
    breaker.worked()
    assert breaker.wait_seconds(half) == 0
    breaker.failed(half)
    assert breaker.wait_seconds(half) == 0


def test_a_probe_that_fails_or_never_reports_leaves_it_open() -> None:
    """For one more pause."""
    breaker = opened()
    breaker.begin(BREAKER_PAUSE_SECONDS)
    breaker.failed(BREAKER_PAUSE_SECONDS + 1)
    assert breaker.wait_seconds(BREAKER_PAUSE_SECONDS + 1) == BREAKER_PAUSE_SECONDS
    lost = opened()
    lost.begin(BREAKER_PAUSE_SECONDS)
    assert lost.wait_seconds(2 * BREAKER_PAUSE_SECONDS) == 0


def test_old_failures_do_not_count() -> None:
    """One failure a window never opens it."""
    breaker = Breaker()
    for number in range(3 * BREAKER_FAILURES):
        now = number * BREAKER_WINDOW_SECONDS
        breaker.failed(now)
        assert breaker.wait_seconds(now) == 0


def test_a_wish_is_kept_up_to_a_cap() -> None:
    """Retry-After of one failure; a senseless one does not end the provider for good."""
    breaker = Breaker()
    breaker.failed(0, 7)
    assert breaker.wait_seconds(0) == 7
    breaker.failed(0, 1e12)
    assert breaker.wait_seconds(0) == MODEL_REST_CAP_SECONDS


def test_each_provider_has_its_own() -> None:
    """And all models of a provider share it."""
    breakers = Breakers()
    breakers.of("anthropic/a").failed(0, 7)
    assert breakers.of("anthropic/b").wait_seconds(0) == 7
    assert breakers.of("openai/a").wait_seconds(0) == 0
