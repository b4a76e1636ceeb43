"""A reply that comes in pieces: server-sent events, bounded in bytes and in silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from juggernaut.adapters.llm.body import json_object
from juggernaut.domain import limits
from juggernaut.domain.errors import ModelGarbled, ModelUnavailable
from juggernaut.domain.model import Json

DONE = "[DONE]"


@dataclass(slots=True)
class Events:
    """Cuts bytes into the data of events; names and comments of events are not needed."""

    _rest: bytes = b""
    _data: list[bytes] = field(default_factory=list)

    def feed(self, chunk: bytes) -> list[str]:
        """Give the data of each event that this piece completes."""
        lines = (self._rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()
        found = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line.removeprefix(b"data:").removeprefix(b" "))
            elif not line and self._data:
                found.append(b"\n".join(self._data).decode("utf-8", "replace"))
                self._data.clear()
        return found


async def read_events(
    chunks: AsyncIterator[bytes], is_last: Callable[[Json], bool], provider: str, stall: float
) -> list[Json]:
    """Gather the events up to the last one; what comes after it is not waited for.

    Raises ModelGarbled for an event that is not JSON, ModelUnavailable for a silence of `stall`
    seconds. A stream that just ends gives what there was: its format says whether it is whole.
    """
    events = Events()
    found: list[Json] = []
    async for chunk in paced(chunks, provider, stall):
        for data in events.feed(chunk):
            if data == DONE:
                return found
            found.append(json_object(data, f"a piece of the reply of {provider}"))
            if is_last(found[-1]):
                return found
    return found


async def paced(chunks: AsyncIterator[bytes], provider: str, stall: float) -> AsyncIterator[bytes]:
    """Pass a reply on: at most MODEL_REPLY_BYTES, and no silence after its first piece."""
    size = 0
    try:
        while True:
            async with asyncio.timeout(stall if size else None):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            size += len(chunk)
            if size > limits.MODEL_REPLY_BYTES:
                raise ModelGarbled(
                    f"{provider} sent more than {limits.MODEL_REPLY_BYTES} bytes in one reply; "
                    "check that the base URL is a model endpoint"
                )
            yield chunk
    except TimeoutError:
        raise ModelUnavailable(
            f"{provider} stopped in the middle of its reply and sent nothing for {stall:g} s",
            maybe_billed=True,
        ) from None
