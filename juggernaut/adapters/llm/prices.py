"""What a call may cost at most, and what it did cost, in US dollars.

Prices come from genai-prices, a table that is part of its package: nothing is fetched. A model
that the table does not know has the operator's ceilings or no price at all, never zero.
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
class PriceList:
    """Prices of one model of one provider."""

    provider: str
    model: str
    ceilings: Ceilings | None = None

    def bound(self, request: ModelRequest) -> Decimal:
        """Give an upper bound of the price of a call; raises UnknownPrice."""
        tokens = estimated_tokens(request)
        fresh = Usage(input_tokens=tokens, output_tokens=request.max_tokens)
        cached = Usage(cache_write_tokens=tokens, output_tokens=request.max_tokens)
        return max(self.cost(fresh), self.cost(cached))

    def cost(self, usage: Usage) -> Decimal:
        """Give the price of counted tokens; raises UnknownPrice."""
        # 0.2 s and 18 MB that a worker without a model never needs.
        from genai_prices import Usage as Counted
        from genai_prices import calc_price

        whole_input = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
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
            return max(price, replace(self, model=answered, ceilings=None).cost(usage))
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
