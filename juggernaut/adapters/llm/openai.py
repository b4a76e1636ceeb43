"""OpenAI, OpenRouter and every endpoint that speaks Chat Completions, through the official SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Final

from juggernaut.adapters.llm import failures, openai_wire
from juggernaut.adapters.llm.body import json_object, read_bounded
from juggernaut.adapters.llm.dialect import Dialect, first_dialect
from juggernaut.adapters.llm.prices import Ceilings, PriceList
from juggernaut.domain import limits
from juggernaut.domain.errors import ModelRefused
from juggernaut.domain.exchange import ModelReply, ModelRequest, Usage
from juggernaut.domain.model import Json

if TYPE_CHECKING:
    from openai import AsyncOpenAI

BASE_URLS: Final = {
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
}


class OpenAIModel:
    """One model behind a Chat Completions endpoint.

    A call is one request, without retries. The one exception is in dialect.py, and it is not
    billed. As in AnthropicModel: key and base URL always go to the SDK by hand, redirects are not
    followed and no connection is kept.

    A reply without a usable token count costs what was reserved for it, never zero.
    """

    def __init__(
        self,
        *,
        model: str,
        api_key: str,
        provider: str = "openai",
        base_url: str | None = None,
        timeout_seconds: float = limits.MODEL_SECONDS,
        ceilings: Ceilings | None = None,
    ) -> None:
        """Take what a call needs; `provider` is openai or openrouter and decides the prices."""
        self._provider = provider
        self._model = model
        self._api_key = api_key
        self._base_url = base_url or BASE_URLS[provider]
        self._timeout_seconds = timeout_seconds
        self._dialect = first_dialect(self._base_url)
        self._prices = PriceList(provider, model, ceilings)

    @property
    def name(self) -> str:
        """Give provider/model, as it stands in the ledger."""
        return f"{self._provider}/{self._model}"

    def max_price(self, request: ModelRequest) -> Decimal:
        """Give an upper bound of the price in US dollars; raises UnknownPrice."""
        return self._prices.bound(request)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Ask. Raises ModelUnavailable, ModelRefused or ModelGarbled."""
        raw = await self._asked(request)
        reply = json_object(raw, f"the reply of {self.name}")
        self._refuse_error(reply)
        reading = openai_wire.from_wire(reply, self._model)
        return ModelReply(
            text=reading.text,
            tool_calls=reading.tool_calls,
            stop=reading.stop,
            usage=reading.usage or Usage(),
            model=reading.model,
            cost_usd=self._prices.settle(reading.usage, request),
        )

    def _refuse_error(self, reply: Json) -> None:
        """Raise what OpenRouter reports inside a reply of status 200, with the status it names."""
        error = reply.get("error")
        if not isinstance(error, Mapping):
            return
        status = error.get("code")
        raise failures.from_status(
            status if isinstance(status, int) else failures.UPSTREAM_FAILED,
            failures.provider_message(error),
            name=self.name,
            retry_after=None,
            secret=self._api_key,
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
        import httpx2
        import openai

        seconds = min(request.timeout_seconds, self._timeout_seconds)
        params = openai_wire.to_wire(request, self._model, dialect)
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.chat.completions.with_streaming_response.create(
                    **params, timeout=seconds
                ) as reply,
            ):
                return await read_bounded(reply.iter_bytes(), self.name)
        except (openai.OpenAIError, httpx2.HTTPError, OSError, ValueError) as error:
            failure = failures.translate(
                error, name=self.name, seconds=seconds, secret=self._api_key
            )
        # Raised out here so that the SDK's exception is not even the context of ours.
        raise failure

    @cached_property
    def _client(self) -> AsyncOpenAI:
        """Make the SDK's client at the first call: its import takes a second."""
        import httpx2
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        return AsyncOpenAI(
            api_key=self._api_key,
            base_url=self._base_url,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(
                follow_redirects=False, limits=httpx2.Limits(max_keepalive_connections=0)
            ),
        )
