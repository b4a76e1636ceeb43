"""OpenAI, OpenRouter and every endpoint that speaks one of OpenAI's two formats, by its SDK."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Final

from juggernaut.adapters.llm import openai_stream, openai_wire, responses_wire
from juggernaut.adapters.llm.dialect import Dialect
from juggernaut.adapters.llm.wire_model import Endpoint, Form, Reply, WireModel, streaming
from juggernaut.domain.exchange import ModelRequest

if TYPE_CHECKING:
    from openai import AsyncOpenAI

BASE_URLS: Final = {
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
}
CLAUDE: Final = "anthropic/"
CHAT_FORM: Final = Form(
    openai_wire.from_wire, openai_stream.gather_chat, openai_stream.is_last_of_chat
)
RESPONSES_FORM: Final = Form(
    responses_wire.from_wire, openai_stream.gather_responses, openai_stream.is_last_of_responses
)


class OpenAIModel(WireModel):
    """One model behind Chat Completions, or with `responses` behind the Responses API."""

    def __init__(self, at: Endpoint, *, responses: bool = False) -> None:
        """Take what a call needs; nothing is loaded or opened until the first call."""
        base_url = at.base_url or BASE_URLS[at.provider]
        super().__init__(at, base_url, RESPONSES_FORM if responses else CHAT_FORM)
        self._responses = responses

    def _send(
        self, request: ModelRequest, dialect: Dialect, seconds: float, key: str
    ) -> AbstractAsyncContextManager[Reply]:
        """Send a request through the SDK."""
        self._client.api_key = key
        if self._responses:
            asked = responses_wire.to_wire(request, self._at.model, dialect)
            respond = self._client.responses.with_streaming_response.create
            return respond(**asked, extra_body=streaming(dialect), timeout=seconds)
        params = openai_wire.to_wire(request, self._at.model, dialect)
        create = self._client.chat.completions.with_streaming_response.create
        extra = {**streaming(dialect), **self._cached(request)}
        return create(**params, extra_body=extra, timeout=seconds)

    def _cached(self, request: ModelRequest) -> dict[str, object]:
        """Ask OpenRouter to cache a conversation with Claude; other models need not be asked."""
        claude = self._at.provider == "openrouter" and self._at.model.startswith(CLAUDE)
        return {"cache_control": {"type": "ephemeral"}} if claude and not request.force_tool else {}

    def _sdk_error(self) -> type[Exception]:
        """Give the root of the SDK's errors."""
        import openai

        return openai.OpenAIError

    @cached_property
    def _client(self) -> AsyncOpenAI:
        """Make the SDK's client at the first call: its import takes a second."""
        import httpx2
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        return AsyncOpenAI(
            api_key=self._at.api_key,
            base_url=self._base_url,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(
                follow_redirects=False, limits=httpx2.Limits(max_keepalive_connections=0)
            ),
        )
