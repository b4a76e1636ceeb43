"""The proxy of one command: CONNECT to what the policy allows, and nothing else.

It sees host and port, and bytes that it cannot read. Every connection has a line; where a line
cannot be written, there are no more connections.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import h11

from juggernaut.adapters.gateway.dialing import NotReached, Stream, dial
from juggernaut.domain import limits
from juggernaut.domain.errors import AttemptStopped, InvalidInput, JuggernautError
from juggernaut.domain.network import Allowed, Contact, allowed_by, split_place
from juggernaut.ports import TellContact

CHUNK_BYTES: Final = 65_536
USER: Final = "juggernaut"
CONNECTED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
BAD_REQUEST: Final = 400
FORBIDDEN: Final = 403
NO_METHOD: Final = 405
WHO: Final = 407
TOO_MANY: Final = 429
BAD_GATEWAY: Final = 502


class Refused(InvalidInput):
    """A request that is not granted, with the status that says so and the place it named."""

    def __init__(self, status: int, why: str, host: str = "-", port: int = 0) -> None:
        """Keep all of it."""
        super().__init__(why)
        self.status = status
        self.contact = Contact(host, port, refused=why)


class Cut(InvalidInput):
    """A connection that went over a bound; the message names it."""


@dataclass(slots=True)
class Meter:
    """The bytes of one command, all its connections together."""

    sent: int = 0
    received: int = 0

    def add(self, sent: int, received: int) -> None:
        """Count; raises Cut beyond a bound."""
        self.sent += sent
        self.received += received
        if self.sent > limits.NETWORK_SENT_BYTES:
            raise Cut(f"the command sent more than {limits.NETWORK_SENT_BYTES} bytes")
        if self.received > limits.NETWORK_RECEIVED_BYTES:
            raise Cut(f"the command received more than {limits.NETWORK_RECEIVED_BYTES} bytes")


class Proxy:
    """Serves one command; `failure` is what kept a line from being written."""

    def __init__(self, allowed: Sequence[Allowed], secret: str, tell: TellContact) -> None:
        """Lead to what is allowed whoever has the secret."""
        self._allowed = tuple(allowed)
        basic = base64.b64encode(f"{USER}:{secret}".encode()).decode()
        self._credential = f"basic {basic}".encode()
        self._tell = tell
        self._meter = Meter()
        self._serving: set[asyncio.Task[None]] = set()
        self._granted = 0
        self._refused = 0
        self._without_line = 0
        self.failure: JuggernautError | AttemptStopped | None = None

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection; more than may be open at once are closed."""
        if len(self._serving) >= limits.NETWORK_AT_ONCE:
            self._without_line += 1
            writer.close()
            return
        task = asyncio.create_task(self._serve((reader, writer)))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def close(self) -> None:
        """End every connection, each with its line, and count what had none."""
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving, timeout=limits.NETWORK_END_SECONDS)
        if self._without_line:
            await self._told(Contact("-", 0, refused=f"{self._without_line} more connections"))

    async def _serve(self, inner: Stream) -> None:
        """Serve one connection to its end."""
        try:
            entry, host, early = await self._asked(inner[0])
            outer = await self._dialled(entry, host)
        except Refused as error:
            await self._refuse(inner[1], error)
        except (OSError, TimeoutError):
            return  # whoever spoke is gone, or says nothing
        else:
            await self._lead(Contact(host, entry.port), inner, outer, early)
        finally:
            inner[1].close()

    async def _asked(self, reader: asyncio.StreamReader) -> tuple[Allowed, str, bytes]:
        """Read what is asked for, and what came after it; raises Refused."""
        async with asyncio.timeout(limits.NETWORK_DIAL_SECONDS):
            request, early = await _head(reader)
        if request.method != b"CONNECT":
            raise Refused(NO_METHOD, "only CONNECT leads out: use https, no plain http")
        place = split_place(request.target.decode("ascii"))
        if place is None:
            raise Refused(BAD_REQUEST, "CONNECT names no host with a port")
        if not self._has_credential(request):
            raise Refused(WHO, "not the credential of this command", *place)
        entry = allowed_by(self._allowed, *place)
        if entry is None:
            raise Refused(FORBIDDEN, "not in network.allow of config/policy.yaml", *place)
        if self.failure is not None or self._granted >= limits.NETWORK_CONNECTIONS:
            why = f"no more than {limits.NETWORK_CONNECTIONS} connections for one command"
            raise Refused(TOO_MANY, "no line could be written" if self.failure else why, *place)
        self._granted += 1
        return entry, place[0], early

    def _has_credential(self, request: h11.Request) -> bool:
        """Say whether a request has the command's own credential."""
        given = [value for name, value in request.headers if name == b"proxy-authorization"]
        scheme, _, rest = (given[0] if len(given) == 1 else b"").partition(b" ")
        return hmac.compare_digest(scheme.lower() + b" " + rest.strip(), self._credential)

    async def _dialled(self, entry: Allowed, host: str) -> Stream:
        """Connect to what was asked for; raises Refused."""
        try:
            return await dial(entry, host)
        except NotReached as error:
            raise Refused(BAD_GATEWAY, str(error), host, entry.port) from None

    async def _refuse(self, writer: asyncio.StreamWriter, error: Refused) -> None:
        """Say why not, to the command and in a line, if there are not too many of them already."""
        if self._refused < limits.NETWORK_REFUSALS:
            self._refused += 1
            await self._told(error.contact)
        else:
            self._without_line += 1
        try:
            writer.write(_answer(error))
            await writer.drain()
        except OSError:
            return  # the command did not wait for it

    async def _lead(self, contact: Contact, inner: Stream, outer: Stream, early: bytes) -> None:
        """Carry bytes both ways until one side has had enough, or a bound is passed."""
        mine, cut = Meter(), ""
        try:
            inner[1].write(CONNECTED)
            async with asyncio.timeout(limits.NETWORK_SECONDS):
                await self._carry(mine, inner, outer, early)
        except Cut as error:
            cut = str(error)
        except TimeoutError:
            cut = f"open for more than {limits.NETWORK_SECONDS:g} s"
        except OSError:
            cut = "one side broke off"
        finally:
            outer[1].close()
            await self._told(replace(contact, sent=mine.sent, received=mine.received, cut=cut))

    async def _carry(self, mine: Meter, inner: Stream, outer: Stream, early: bytes) -> None:
        """Carry both ways; raises Cut."""

        def sent(count: int) -> None:
            """Count what the command sends."""
            mine.sent += count
            self._meter.add(count, 0)

        def received(count: int) -> None:
            """Count what comes back."""
            mine.received += count
            self._meter.add(0, count)

        sent(len(early))
        outer[1].write(early)
        pumps = {
            asyncio.create_task(_pump(inner[0], outer[1], sent)),
            asyncio.create_task(_pump(outer[0], inner[1], received)),
        }
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
            for pump in done:
                pump.result()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)

    async def _told(self, contact: Contact) -> None:
        """Write a line; what keeps it from being written ends all connections to come."""
        try:
            await self._tell(contact)
        except (JuggernautError, AttemptStopped) as error:
            self.failure = self.failure or error


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Callable[[int], None]
) -> None:
    """Carry bytes one way, and pass the end on; what is counted over a bound is not carried."""
    while chunk := await reader.read(CHUNK_BYTES):
        count(len(chunk))
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _head(reader: asyncio.StreamReader) -> tuple[h11.Request, bytes]:
    """Read the head of a request, and what stands behind it; raises Refused."""
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.HTTP_HEAD_BYTES)
    try:
        while (event := http.next_event()) is h11.NEED_DATA:
            http.receive_data(await reader.read(CHUNK_BYTES))
    except h11.RemoteProtocolError as error:
        raise Refused(BAD_REQUEST, f"no HTTP: {error}") from None
    if not isinstance(event, h11.Request):
        raise ConnectionError("closed before it asked")
    return event, http.trailing_data[0]


def _answer(error: Refused) -> bytes:
    """Write the answer to a request that is not granted."""
    http = h11.Connection(h11.SERVER)
    body = f"juggernaut: {error}\n".encode()
    headers = [("content-type", "text/plain; charset=utf-8"), ("connection", "close")]
    headers.append(("content-length", str(len(body))))
    if error.status == WHO:
        headers.append(("proxy-authenticate", 'Basic realm="juggernaut"'))
    response = h11.Response(status_code=error.status, headers=headers, reason=_phrase(error))
    parts = [http.send(response), http.send(h11.Data(data=body)), http.send(h11.EndOfMessage())]
    return b"".join(part or b"" for part in parts)


def _phrase(error: Refused) -> str:
    """Give the reason as programs show it that look at no body: on one line, in ASCII."""
    return " ".join(str(error).encode("ascii", "replace").decode().split())
