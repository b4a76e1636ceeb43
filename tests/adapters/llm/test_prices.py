from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from juggernaut.adapters.llm.prices import Ceilings, LongContext, PriceList
from juggernaut.domain import limits
from juggernaut.domain.errors import UnknownPrice
from juggernaut.domain.exchange import Message, ToolCall, ToolResult, Usage
from juggernaut.domain.tokens import estimated_tokens
from tests.fakes.model_requests import ask

CLAUDE = PriceList("anthropic", "claude-sonnet-5-5")
NOBODY = PriceList("anthropic", "claude-nobody-0-0")
CEILINGS = Ceilings(Decimal(3), Decimal(15))
LONG = LongContext(200_000, Decimal(6), Decimal("22.5"), Decimal("0.6"), Decimal("7.5"))


def test_cost_follows_the_table() -> None:
    """Cached tokens are cheaper to read and dearer to write than fresh ones."""
    fresh = CLAUDE.cost(Usage(input_tokens=10_000))
    assert CLAUDE.cost(Usage(cache_read_tokens=10_000)) < fresh
    assert CLAUDE.cost(Usage(cache_write_tokens=10_000)) > fresh
    parts = Usage(1_000, 100, 200, 300)
    assert CLAUDE.cost(parts) == (
        CLAUDE.cost(Usage(input_tokens=1_000))
        + CLAUDE.cost(Usage(output_tokens=100))
        + CLAUDE.cost(Usage(cache_read_tokens=200))
        + CLAUDE.cost(Usage(cache_write_tokens=300))
    )


def test_the_bound_covers_the_dearest_case() -> None:
    """All input written to the cache and all output used."""
    request = ask("hello " * 500)
    tokens = estimated_tokens(request)
    worst = Usage(cache_write_tokens=tokens, output_tokens=request.max_tokens)
    assert CLAUDE.bound(request) == CLAUDE.cost(worst)


def test_every_part_of_a_request_counts() -> None:
    """System, text, tool arguments, results and schemas all make the estimate grow."""
    base = estimated_tokens(ask("x"))
    long = "word " * 300
    call = ToolCall("1", "read", {"path": long})
    larger = [
        ask(long),
        ask("x", system=long),
        ask("x", Message("assistant", tool_calls=(call,))),
        ask("x", Message("user", tool_results=(ToolResult("1", long),))),
    ]
    for request in larger:
        assert estimated_tokens(request) > base + len(long) // limits.CHARS_PER_TOKEN - 20
    assert estimated_tokens(ask("x", tools=())) < base


@pytest.mark.parametrize("text", ["\u4e2d\u6587", "\U0001f600", "\u00e9\u00e8"])
def test_letters_outside_ascii_are_not_underrated(text: str) -> None:
    """At least one token for each of them."""
    grown = estimated_tokens(ask(text * 1_000)) - estimated_tokens(ask(""))
    assert grown >= len(text) * 1_000


def test_an_unknown_model_has_no_price() -> None:
    """It is refused before the call, and the message says what to do."""
    with pytest.raises(UnknownPrice, match=r"claude-nobody-0-0.*ceilings_usd_per_mtok"):
        NOBODY.bound(ask("hello"))
    with pytest.raises(UnknownPrice):
        PriceList("nobody", "x").bound(ask("hello"))


def test_ceilings_stand_in_for_an_unknown_price_only() -> None:
    """A known price wins over the operator's ceiling."""
    usage = Usage(600_000, 2_000_000, 300_000, 100_000)
    assert PriceList("anthropic", "claude-nobody-0-0", CEILINGS).cost(usage) == Decimal(33)
    with_ceilings = PriceList("anthropic", "claude-sonnet-5-5", CEILINGS)
    assert with_ceilings.cost(usage) == CLAUDE.cost(usage)


def test_an_uncounted_call_costs_its_bound() -> None:
    """Never zero."""
    request = ask("hello")
    assert CLAUDE.settle(None, request) == CLAUDE.bound(request) > 0
    assert CLAUDE.settle(Usage(10, 1), request) == CLAUDE.cost(Usage(10, 1))


def test_a_long_request_is_dearer_as_a_whole() -> None:
    """At the step the lower prices hold; one token more, cached or not, and all are higher."""
    own = PriceList("nobody", "unheard-of", CEILINGS, LONG)
    assert own.cost(Usage(100_000, 1_000, 60_000, 40_000)) == Decimal("0.615")
    for usage in (
        Usage(100_001, 1_000, 60_000, 40_000),
        Usage(100_000, 1_000, 60_001, 40_000),
        Usage(100_000, 1_000, 60_000, 40_001),
    ):
        assert own.cost(usage).quantize(Decimal("0.0001")) == Decimal("0.9585")
    by_table = PriceList("anthropic", "claude-sonnet-4-5")
    usage = Usage(150_000, 1_000, 60_000, 40_000)
    assert by_table.cost(usage) == replace(by_table, long_context=LONG).cost(usage)
    assert own.cost(Usage(200_001)) == Decimal("1.200006")
    with pytest.raises(UnknownPrice):
        replace(own, ceilings=None).bound(ask("hello" * 50_000))
    dear = replace(own, model="claude-sonnet-4-5", provider="anthropic", ceilings=None)
    assert dear.settle(Usage(300_000), ask("x"), "claude-opus-4-1") == Decimal("4.5")
