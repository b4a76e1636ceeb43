"""Claude through the Messages API and the official SDK."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Final

from juggernaut.adapters.llm import anthropic_wire, failures
from juggernaut.adapters.llm.body import json_object, read_bounded
from juggernaut.adapters.llm.dialect import Dialect
from juggernaut.adapters.llm.prices import Ceilings, PriceList
from juggernaut.domain import limits
from juggernaut.domain.errors import ModelRefused
from juggernaut.domain.exchange import ModelReply, ModelRequest, Usage

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

DEFAULT_BASE_URL: Final = "https://api.anthropic.com"


class AnthropicModel:
    """One Claude model.

    A call is one request: the SDK's own retries are off. The one exception is in dialect.py, and
    it is not billed.

    The base URL and the key are always given to the SDK, so that nothing of its environment or
    its profile files decides where a key goes. Redirects are not followed: a request goes where
    the operator said, or nowhere. No connection is kept: a model call takes seconds, and an idle
    connection that the far side has closed would make the next call fail.

    A reply without a usable token count costs what was reserved for it, never zero.
    """

    def __init__(
        self,
        *,
        model: str,
        api_key: str,
        base_url: str | None = None,
        timeout_seconds: float = limits.MODEL_SECONDS,
        ceilings: Ceilings | None = None,
    ) -> None:
        """Take what a call needs; nothing is loaded or opened until the first call."""
        self._model = model
        self._api_key = api_key
        self._base_url = base_url or DEFAULT_BASE_URL
        self._timeout_seconds = timeout_seconds
        self._dialect = Dialect()
        self._prices = PriceList("anthropic", model, ceilings)

    @property
    def name(self) -> str:
        """Give anthropic/model, as it stands in the ledger."""
        return f"anthropic/{self._model}"

    def max_price(self, request: ModelRequest) -> Decimal:
        """Give an upper bound of the price in US dollars; raises UnknownPrice."""
        return self._prices.bound(request)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Ask. Raises ModelUnavailable, ModelRefused or ModelGarbled."""
        raw = await self._asked(request)
        reply = json_object(raw, f"the reply of {self.name}")
        reading = anthropic_wire.from_wire(reply, self._model)
        return ModelReply(
            text=reading.text,
            tool_calls=reading.tool_calls,
            stop=reading.stop,
            usage=reading.usage or Usage(),
            model=reading.model,
            cost_usd=self._prices.settle(reading.usage, request),
        )

    async def _asked(self, request: ModelRequest) -> bytes:
        """Send a request; one that is refused for its wording is worded otherwise, once each."""
        dialect = self._dialect
        while True:
            try:
                return await self._exchange(request, dialect)
            except ModelRefused as refusal:
                other = dialect.after(str(refusal))
                if other is None:
                    raise
                self._dialect = dialect = other

    async def _exchange(self, request: ModelRequest, dialect: Dialect) -> bytes:
        """Send one request and give the whole body of the reply, within one time limit."""
        import anthropic
        import httpx2

        seconds = min(request.timeout_seconds, self._timeout_seconds)
        params = anthropic_wire.to_wire(request, self._model, dialect)
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.messages.with_streaming_response.create(
                    **params, timeout=seconds
                ) as reply,
            ):
                return await read_bounded(reply.iter_bytes(), self.name)
        except (anthropic.AnthropicError, httpx2.HTTPError, OSError, ValueError) as error:
            failure = failures.translate(
                error, name=self.name, seconds=seconds, secret=self._api_key
            )
        # Raised out here so that the SDK's exception is not even the context of ours.
        raise failure

    @cached_property
    def _client(self) -> AsyncAnthropic:
        """Make the SDK's client at the first call: its import takes two seconds."""
        import httpx2
        from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient

        return AsyncAnthropic(
            api_key=self._api_key,
            base_url=self._base_url,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(
                follow_redirects=False, limits=httpx2.Limits(max_keepalive_connections=0)
            ),
        )
