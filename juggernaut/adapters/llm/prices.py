"""What a call may cost at most, and what it did cost, in US dollars.

Prices come from genai-prices, a table that is part of its package: nothing is fetched. A model
that the table does not know has the operator's ceilings or no price at all, never zero. Where a
provider asks more for a long request, the table knows it of the models that it knows; an operator
may say it of any model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from juggernaut.domain.errors import UnknownPrice
from juggernaut.domain.exchange import ModelRequest, Usage
from juggernaut.domain.tokens import estimated_tokens

_MTOK: Final = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The operator's own prices in USD per million tokens, for models without a known one."""

    input: Decimal
    output: Decimal


@dataclass(frozen=True, slots=True)
class LongContext:
    """The operator's prices in USD per million tokens of a request with more input than that.

    All of such a request is at these prices, its reply too. Cached tokens count as input.
    """

    above_tokens: int
    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal

    def cost(self, usage: Usage) -> Decimal:
        """Give the price of counted tokens."""
        total = (
            usage.input_tokens * self.input
            + usage.output_tokens * self.output
            + usage.cache_read_tokens * self.cache_read
            + usage.cache_write_tokens * self.cache_write
        )
        return total / _MTOK


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices of one model of one provider."""

    provider: str
    model: str
    ceilings: Ceilings | None = None
    long_context: LongContext | None = None

    def bound(self, request: ModelRequest) -> Decimal:
        """Give an upper bound of the price of a call; raises UnknownPrice."""
        tokens, most = estimated_tokens(request), request.max_tokens
        sizes = {tokens}
        if self.long_context is not None:
            # The call may turn out shorter, and nothing says that the lower tier is the cheaper.
            sizes.add(min(tokens, self.long_context.above_tokens))
        usages = (
            usage
            for size in sizes
            for usage in (
                Usage(input_tokens=size, output_tokens=most),
                Usage(cache_read_tokens=size, output_tokens=most),
                Usage(cache_write_tokens=size, output_tokens=most),
            )
        )
        return max(map(self.cost, usages))

    def cost(self, usage: Usage) -> Decimal:
        """Give the price of counted tokens; raises UnknownPrice."""
        # 0.2 s and 18 MB that a worker without a model never needs.
        from genai_prices import Usage as Counted
        from genai_prices import calc_price

        whole_input = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        if self.long_context is not None and whole_input > self.long_context.above_tokens:
            return self.long_context.cost(usage)
        counted = Counted(
            input_tokens=whole_input,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        )
        try:
            price = calc_price(counted, self.model, provider_id=self.provider)
        except LookupError:
            return self._at_ceilings(whole_input, usage.output_tokens)
        return Decimal(price.total_price)

    def settle(self, usage: Usage | None, request: ModelRequest, answered: str = "") -> Decimal:
        """Give the price of a call; one without a usable count costs what was reserved, never 0.

        Where another model answered than was asked, the dearer price of the two counts.
        """
        if usage is None:
            return self.bound(request)
        price = self.cost(usage)
        if answered in {"", self.model}:
            return price
        try:
            other = replace(self, model=answered, ceilings=None, long_context=None)
            return max(price, other.cost(usage))
        except UnknownPrice:
            return price  # a deployment's own name for the model

    def _at_ceilings(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Give the price by the operator's ceilings; raises UnknownPrice when there are none."""
        if self.ceilings is None:
            raise UnknownPrice(
                f"no price is known for {self.provider}/{self.model}; choose a model with a "
                "known price, or set ceilings_usd_per_mtok in models.yaml"
            )
        total = input_tokens * self.ceilings.input + output_tokens * self.ceilings.output
        return total / _MTOK
