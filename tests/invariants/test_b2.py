"""B2: the reserved price is an upper bound of whatever a provider can report; unknown is refused.

Default: 200 usages over 7 models. Full: 5,000.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from juggernaut.adapters.llm.prices import Ceilings, PriceList
from juggernaut.domain import limits
from juggernaut.domain.errors import UnknownPrice
from juggernaut.domain.exchange import Message, ModelRequest, ToolResult, Usage
from juggernaut.domain.tokens import estimated_tokens
from tests.invariants.trials import trials

USAGES = trials(200, 5_000)
LISTS = (
    PriceList("anthropic", "claude-sonnet-5-5"),
    PriceList("anthropic", "claude-opus-5-5"),
    PriceList("anthropic", "claude-3-5-haiku-latest"),
    PriceList("openai", "gpt-4o"),
    PriceList("openai", "gpt-4o-mini"),
    PriceList("google", "gemini-2.5-pro"),
    PriceList("nobody", "unheard-of", Ceilings(Decimal(3), Decimal(15))),
)
TEXTS = some.text(max_size=300) | some.sampled_from(["0", "z9/", "\U0001f600", "\u4e2d"]).map(
    lambda piece: piece * 400
)
SHARES = some.lists(some.integers(0, 1_000), min_size=4, max_size=4)
Bound = Callable[[PriceList, ModelRequest], Decimal]


def usage_within(request: ModelRequest, shares: list[int]) -> Usage:
    """Give a usage that a provider may report: any split of the input, any part of the output."""
    tokens = estimated_tokens(request)
    whole = max(1_000, sum(shares[:3]))
    fresh, read, write = (tokens * share // whole for share in shares[:3])
    return Usage(fresh, request.max_tokens * shares[3] // 1_000, read, write)


def check_bound(bound: Bound) -> None:
    """No usage costs more than its bound."""

    @settings(max_examples=USAGES, deadline=None, database=None, derandomize=True)
    @given(some.sampled_from(LISTS), TEXTS, SHARES, some.sampled_from([1, 1_000, 128_000]))
    def holds(prices: PriceList, text: str, shares: list[int], most: int) -> None:
        """Try one usage."""
        request = ModelRequest("code", "rules", (Message("user", text),), max_tokens=most)
        assert prices.cost(usage_within(request, shares)) <= bound(prices, request)

    holds()


def check_bytes() -> None:
    """There are never more tokens than the estimate: a token holds a byte of text or more."""

    @settings(max_examples=USAGES, deadline=None, database=None, derandomize=True)
    @given(TEXTS, TEXTS)
    def holds(asked: str, result: str) -> None:
        """Try one request."""
        turns = (Message("user", asked), Message("user", tool_results=(ToolResult("1", result),)))
        request = ModelRequest("code", "rules", turns)
        most = len(f"rules{asked}{result}".encode("utf-8", "surrogatepass"))
        assert most + limits.MODEL_OVERHEAD_TOKENS <= estimated_tokens(request)

    holds()


def test_the_bound_holds() -> None:
    """For every known price, tier and ceiling."""
    check_bound(PriceList.bound)


def test_no_text_has_more_tokens_than_it_was_counted() -> None:
    """Digits, base64, signs of any script."""
    check_bytes()


def test_a_model_without_a_price_is_refused() -> None:
    """It is never zero."""
    request = ModelRequest("code", "", (Message("user", "x"),))
    with pytest.raises(UnknownPrice):
        replace(LISTS[-1], ceilings=None).bound(request)


def fresh_only(prices: PriceList, request: ModelRequest) -> Decimal:
    """Forget that writing the cache is dearer."""
    return prices.cost(Usage(estimated_tokens(request), request.max_tokens))


def half_the_answer(prices: PriceList, request: ModelRequest) -> Decimal:
    """Hope that answers are short."""
    return prices.bound(replace(request, max_tokens=request.max_tokens // 2))


@pytest.mark.parametrize("mutant", [fresh_only, half_the_answer])
def test_mutants_of_the_bound(mutant: Bound) -> None:
    """Each is seen."""
    with pytest.raises(AssertionError):
        check_bound(mutant)


def test_mutant_of_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two characters a token is an average and no bound."""
    monkeypatch.setattr(limits, "CHARS_PER_TOKEN", 2)
    with pytest.raises(AssertionError):
        check_bytes()
