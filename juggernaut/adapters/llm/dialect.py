"""What an endpoint turned out to take: models differ, and their names do not say how.

Some things are refused by some models and needed by others. Instead of a table of model names,
which would be wrong within weeks, a refusal (status 400, not billed) that names one of them is
answered once with the other form, and the adapter remembers it.

- A forced tool: Claude Sonnet 5.5 and Opus 5.5 refuse it. The prompt asks for the tool instead.
- `max_tokens`: OpenAI's reasoning models take only `max_completion_tokens`; many compatible
  servers know only the old name and would answer without a limit.
- `reasoning_effort`: Chat Completions of gpt-5.6 and later takes tools only with effort `none`;
  older models refuse that value.
- Streams, and `stream_options`, by which a stream counts its tokens: some compatible servers
  have neither. A stream without a count costs what was reserved for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal
from urllib.parse import urlsplit

from juggernaut.domain.exchange import ModelRequest

_OPENAI_HOSTS: Final = ("api.openai.com", ".openai.azure.com")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to word a request."""

    may_force: bool = True
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    effort_none: bool = False
    streams: bool = True
    counts_stream: bool = True

    def after(self, refusal: str) -> Dialect | None:
        """Give the other form of what a refusal complains of; None when there is no other."""
        if "tool_choice" in refusal and self.may_force:
            return replace(self, may_force=False)
        if "max_completion_tokens" in refusal and self.limit == "max_tokens":
            return replace(self, limit="max_completion_tokens")
        if "reasoning_effort" in refusal and not self.effort_none:
            return replace(self, effort_none=True)
        if "stream_options" in refusal and self.counts_stream:
            return replace(self, counts_stream=False)
        if "stream" in refusal and self.streams:
            return replace(self, streams=False)
        return None

    def system(self, request: ModelRequest) -> str:
        """Give the system prompt, which asks for a tool that cannot be forced."""
        if self.may_force or not request.force_tool:
            return request.system
        return f"{request.system}\n\nAnswer by calling the tool {request.force_tool}.".lstrip()


def first_dialect(base_url: str) -> Dialect:
    """Give the form to begin with at an address."""
    host = urlsplit(base_url).hostname or ""
    if host.endswith(_OPENAI_HOSTS):
        return Dialect(limit="max_completion_tokens")
    return Dialect()
