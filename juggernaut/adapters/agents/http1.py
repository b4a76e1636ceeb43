"""Just enough HTTP/1.1 on a stream of bytes, both sides of it; h11 knows the protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

import h11

from juggernaut.domain import limits
from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.model import Json

CHUNK_BYTES: Final = 65_536
OK: Final = 200


class Broken(InvalidInput):
    """The other side said something that is no HTTP, or too much of it, or went away."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came in; names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer: one whole body, or the parts of a stream."""

    status: int
    parts: Iterable[bytes]
    kind: str = "application/json"


def json_answer(status: int, value: Json) -> Answer:
    """Give an answer of one JSON value."""
    return Answer(status, (json.dumps(value).encode(),))


class Wire:
    """One connection, as its server or its client."""

    def __init__(
        self,
        role: type[h11.SERVER] | type[h11.CLIENT],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Speak over this stream."""
        self._http = h11.Connection(role, max_incomplete_event_size=limits.AGENT_HEAD_BYTES)
        self._reader = reader
        self._writer = writer

    async def asked(self) -> Asked | None:
        """Wait for a request; None when the client has no more. Raises Broken."""
        head = await self._head()
        if not isinstance(head, h11.Request):
            return None
        body = b"".join([part async for part in self.body(limits.AGENT_REQUEST_BYTES)])
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        method, path = head.method.decode("ascii"), head.target.decode("latin-1")
        return Asked(method, path, headers, body)

    async def answer(self, method: str, answer: Answer) -> bool:
        """Send an answer; False when the connection cannot carry another request."""
        kind = ("content-type", answer.kind)
        self._send(h11.Response(status_code=answer.status, headers=[kind]))
        if method != "HEAD":
            for part in answer.parts:
                self._send(h11.Data(data=part))
                await self._writer.drain()
        self._send(h11.EndOfMessage())
        await self._writer.drain()
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> int:
        """Send a request as its client; gives the status. Raises Broken."""
        every = {**headers, "content-length": str(len(body)), "connection": "close"}
        self._send(h11.Request(method=method, target=path, headers=list(every.items())))
        self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())
        try:
            await self._writer.drain()
        except OSError as error:
            raise Broken(str(error)) from None
        head = await self._head()
        if not isinstance(head, h11.Response):
            raise Broken("no answer")
        return int(head.status_code)

    async def body(self, most_bytes: float) -> AsyncIterator[bytes]:
        """Give the parts of a body; raises Broken beyond the bound."""
        while isinstance(event := await self._event(), h11.Data):
            most_bytes -= len(event.data)
            if most_bytes < 0:
                raise Broken("the body is too large")
            yield bytes(event.data)
        if not isinstance(event, h11.EndOfMessage):
            raise Broken("the body was cut off")

    def close(self) -> None:
        """Let go of the connection."""
        self._writer.close()

    async def _head(self) -> h11.Event | None:
        """Wait for the head of a message, or for the end of the connection."""
        event = await self._event()
        while isinstance(event, h11.InformationalResponse):
            event = await self._event()
        return event

    async def _event(self) -> h11.Event | None:
        """Give the next event of the protocol."""
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
                self._http.receive_data(await self._reader.read(CHUNK_BYTES))
        except (h11.ProtocolError, OSError) as error:
            raise Broken(str(error)) from None
        return event if isinstance(event, h11.Event) else None

    def _send(self, event: h11.Event) -> None:
        """Write one event."""
        data = self._http.send(event)
        if data is not None:
            self._writer.write(data)
