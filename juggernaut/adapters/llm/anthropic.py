"""Claude, and whatever else speaks the Messages API, through the official SDK."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Final

from juggernaut.adapters.llm import anthropic_stream, anthropic_wire
from juggernaut.adapters.llm.dialect import Dialect
from juggernaut.adapters.llm.wire_model import Endpoint, Form, Reply, WireModel, streaming
from juggernaut.domain.exchange import ModelRequest

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

DEFAULT_BASE_URL: Final = "https://api.anthropic.com"
BETA: Final = "anthropic-beta"
FORM: Final = Form(anthropic_wire.from_wire, anthropic_stream.gather, anthropic_stream.is_last)


class AnthropicModel(WireModel):
    """One model behind the Messages API."""

    def __init__(self, at: Endpoint) -> None:
        """Take what a call needs; nothing is loaded or opened until the first call."""
        super().__init__(at, at.base_url or DEFAULT_BASE_URL, FORM)

    def _send(
        self, request: ModelRequest, dialect: Dialect, seconds: float, key: str
    ) -> AbstractAsyncContextManager[Reply]:
        """Send a request through the SDK."""
        self._client.api_key = key
        params = anthropic_wire.to_wire(request, self._at.model, dialect)
        create = self._client.messages.with_streaming_response.create
        beta = {BETA: self._at.beta} if self._at.beta else None
        return create(**params, extra_body=streaming(dialect), extra_headers=beta, timeout=seconds)

    def _sdk_error(self) -> type[Exception]:
        """Give the root of the SDK's errors."""
        import anthropic

        return anthropic.AnthropicError

    @cached_property
    def _client(self) -> AsyncAnthropic:
        """Make the SDK's client at the first call: its import takes two seconds."""
        import httpx2
        from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient

        return AsyncAnthropic(
            api_key=self._at.api_key,
            base_url=self._base_url,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(
                follow_redirects=False, limits=httpx2.Limits(max_keepalive_connections=0)
            ),
        )
