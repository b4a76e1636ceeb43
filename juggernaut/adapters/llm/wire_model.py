"""What all providers' models share: one request, a bounded reply, a price, errors of our own."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from juggernaut.adapters.llm import failures
from juggernaut.adapters.llm.body import json_object
from juggernaut.adapters.llm.dialect import Dialect, first_dialect
from juggernaut.adapters.llm.keys import LiveKey
from juggernaut.adapters.llm.prices import Ceilings, LongContext, PriceList
from juggernaut.adapters.llm.reading import Reading
from juggernaut.adapters.llm.sse import paced, read_events
from juggernaut.domain import limits
from juggernaut.domain.errors import ModelRefused
from juggernaut.domain.exchange import ModelReply, ModelRequest, Usage
from juggernaut.domain.model import Json

EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Which model, where, with which key; the limits are in seconds."""

    provider: str
    model: str
    api_key: str = field(repr=False)
    base_url: str | None = None
    ceilings: Ceilings | None = None
    timeout_seconds: float = limits.MODEL_SECONDS
    stall_seconds: float = limits.MODEL_STALL_SECONDS
    fresh_key: Callable[[], str] | None = field(default=None, repr=False)
    long_context: LongContext | None = None
    beta: str | None = None  # of the Messages API


@dataclass(frozen=True, slots=True)
class Form:
    """A wire format: how a whole reply is read, and how a stream becomes a whole reply."""

    from_wire: Callable[[Json, str], Reading]
    gather: Callable[[list[Json]], Json]
    is_last: Callable[[Json], bool]


class Reply(Protocol):
    """What the SDKs give of a reply whose body is not read yet."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Give its headers."""
        ...

    def iter_bytes(self) -> AsyncIterator[bytes]:
        """Give its body in pieces."""
        ...


class WireModel(ABC):
    """One model behind one address.

    A call is one request: the SDK's own retries are off. Two exceptions, of which none is billed:
    another wording (dialect.py), and a refused key that was replaced meanwhile.

    The base URL and the key are always given to the SDK, so that nothing of its environment or
    its profile files decides where a key goes. Redirects are not followed: a request goes where
    the operator said, or nowhere. No connection is kept: a model call takes seconds, and an idle
    connection that the far side has closed would make the next call fail.

    A reply without a usable token count costs what was reserved for it, never zero.
    """

    def __init__(self, at: Endpoint, base_url: str, form: Form) -> None:
        """Take what a call needs; nothing is loaded or opened until the first call."""
        self._at = at
        self._key = LiveKey(at.api_key, at.fresh_key)
        self._base_url = base_url
        self._form = form
        self._dialect = first_dialect(base_url)
        self._prices = PriceList(at.provider, at.model, at.ceilings, at.long_context)

    @property
    def name(self) -> str:
        """Give provider/model, as it stands in the ledger."""
        return f"{self._at.provider}/{self._at.model}"

    def max_price(self, request: ModelRequest) -> Decimal:
        """Give an upper bound of the price in US dollars; raises UnknownPrice."""
        return self._prices.bound(request)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Ask. Raises ModelUnavailable, ModelRefused or ModelGarbled."""
        reply = await self._asked(request)
        failures.refuse_error(reply, self.name, self._key.now())
        reading = self._form.from_wire(reply, self._at.model)
        return ModelReply(
            text=reading.text,
            tool_calls=reading.tool_calls,
            stop=reading.stop,
            usage=reading.usage or Usage(),
            model=reading.model,
            cost_usd=self._prices.settle(reading.usage, request, reading.model),
        )

    @abstractmethod
    def _send(
        self, request: ModelRequest, dialect: Dialect, seconds: float, key: str
    ) -> AbstractAsyncContextManager[Reply]:
        """Send a request through the SDK and give the reply with its body unread."""

    @abstractmethod
    def _sdk_error(self) -> type[Exception]:
        """Give the root of the SDK's errors."""

    async def _asked(self, request: ModelRequest) -> Json:
        """Send a request; one that is refused for its wording is worded otherwise, once each.

        One whose key was replaced while it was under way goes out again with the new one.
        """
        dialect = self._dialect
        while True:
            key = self._key.now()
            try:
                return await self._exchange(request, dialect, key)
            except ModelRefused as refusal:
                if key != self._key.now():
                    continue
                other = dialect.after(str(refusal))
                if other is None:
                    raise
                self._dialect = dialect = other

    async def _exchange(self, request: ModelRequest, dialect: Dialect, key: str) -> Json:
        """Send one request and give the whole reply, within one time limit."""
        import httpx2

        seconds = min(request.timeout_seconds, self._at.timeout_seconds)
        try:
            async with (
                asyncio.timeout(seconds),
                self._send(request, dialect, seconds, key) as reply,
            ):
                return await self._read(reply)
        except (self._sdk_error(), httpx2.HTTPError, OSError, ValueError) as error:
            failure = failures.translate(error, name=self.name, seconds=seconds, secret=key)
        # Raised out here so that the SDK's exception is not even the context of ours.
        raise failure

    async def _read(self, reply: Reply) -> Json:
        """Read a stream, or a whole reply where the server does not stream."""
        stall = self._at.stall_seconds
        if reply.headers.get("content-type", "").startswith(EVENT_STREAM):
            chunks = reply.iter_bytes()
            events = await read_events(chunks, self._form.is_last, self.name, stall)
            return self._form.gather(events)
        body = b"".join([chunk async for chunk in paced(reply.iter_bytes(), self.name, stall)])
        return json_object(body, f"the reply of {self.name}")


def streaming(dialect: Dialect) -> dict[str, object]:
    """Give what asks for a stream, past the SDK: the body is read here, bounded, either way."""
    return {"stream": True} if dialect.streams else {}
