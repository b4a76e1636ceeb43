"""B2: the reserved price is an upper bound of whatever a provider can report; unknown is refused.

Default: 200 usages over 8 models and 4 with a step of prices. Full: 5,000.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from juggernaut.adapters.llm.prices import Ceilings, LongContext, PriceList
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
    PriceList("anthropic", "claude-sonnet-4-5"),
)
DEARER = LongContext(1_200, Decimal(6), Decimal("22.5"), Decimal("0.6"), Decimal("7.5"))
# What nobody would ask for, and an operator may write by mistake.
STRANGE = LongContext(1_200, Decimal(1), Decimal(2), Decimal(4), Decimal("0.5"))
STEPS = (
    replace(LISTS[0], long_context=DEARER),
    replace(LISTS[6], long_context=DEARER),
    replace(LISTS[0], long_context=STRANGE),
    replace(LISTS[6], long_context=STRANGE),
)
TEXTS = some.text(max_size=300) | some.sampled_from(["0", "z9/", "\U0001f600", "\u4e2d"]).map(
    lambda piece: piece * 400
)
# Any, and the ends: all of one kind, and an input that turns out far shorter than its estimate.
SHARES = some.lists(some.integers(0, 1_000), min_size=4, max_size=4) | some.sampled_from(
    [[1_000, 0, 0, 1_000], [0, 1_000, 0, 1_000], [0, 0, 1_000, 1_000], [200, 0, 0, 1_000]]
)
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
    @given(some.sampled_from(LISTS + STEPS), TEXTS, SHARES, some.sampled_from([1, 1_000, 128_000]))
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
        replace(LISTS[6], ceilings=None).bound(request)


def fresh_only(prices: PriceList, request: ModelRequest) -> Decimal:
    """Forget that writing the cache is dearer."""
    return prices.cost(Usage(estimated_tokens(request), request.max_tokens))


def half_the_answer(prices: PriceList, request: ModelRequest) -> Decimal:
    """Hope that answers are short."""
    return prices.bound(replace(request, max_tokens=request.max_tokens // 2))


def without_the_step(prices: PriceList, request: ModelRequest) -> Decimal:
    """Forget that long requests have prices of their own."""
    return replace(prices, long_context=None).bound(request)


def above_the_step(prices: PriceList, request: ModelRequest) -> Decimal:
    """Take it that a longer request is never the cheaper one."""
    usage = Usage(estimated_tokens(request), request.max_tokens)
    read = Usage(0, request.max_tokens, estimated_tokens(request))
    written = Usage(0, request.max_tokens, 0, estimated_tokens(request))
    return max(map(prices.cost, (usage, read, written)))


def unread(prices: PriceList, request: ModelRequest) -> Decimal:
    """Take it that what is read from a cache is never the dearest."""
    tokens, most = estimated_tokens(request), request.max_tokens
    return max(prices.cost(Usage(tokens, most)), prices.cost(Usage(0, most, 0, tokens)))


STEP_MUTANTS = (without_the_step, above_the_step, unread)


@pytest.mark.parametrize("mutant", [fresh_only, half_the_answer, *STEP_MUTANTS])
def test_mutants_of_the_bound(mutant: Bound) -> None:
    """Each is seen."""
    with pytest.raises(AssertionError):
        check_bound(mutant)


def test_mutant_of_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two characters a token is an average and no bound."""
    monkeypatch.setattr(limits, "CHARS_PER_TOKEN", 2)
    with pytest.raises(AssertionError):
        check_bytes()
