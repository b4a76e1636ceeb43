"""The proxy by itself: where names lead to, credentials, and every bound of it."""

from __future__ import annotations

import asyncio
import base64
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from juggernaut.adapters.gateway.proxy import USER, Proxy
from juggernaut.domain import limits
from juggernaut.domain.errors import LeaseLost
from juggernaut.domain.network import Contact, is_public, read_network
from tests.adapters.gateway.tls_server import HOST

SECRET = "FAKE-" + "secret-of-a-command"
NAME = "packages.example.org"
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Line:
    """A proxy at a socket, a server that echoes, and what was told."""

    def __init__(self, folder: Path, port: int) -> None:
        """Keep where things are."""
        self.socket = folder / "proxy.sock"
        self.port = port
        self.told: list[Contact] = []
        self.failing = False

    async def tell(self, contact: Contact) -> None:
        """Keep what is told, or fail as a lost lease does."""
        self.told.append(contact)
        if self.failing:
            raise LeaseLost("gone")

    @asynccontextmanager
    async def proxy(self, *entries: str) -> AsyncIterator[Proxy]:
        """Open a proxy."""
        proxy = Proxy(read_network({"allow": list(entries)}), SECRET, self.tell)
        async with await asyncio.start_unix_server(proxy.accept, self.socket):
            try:
                yield proxy
            finally:
                await proxy.close()

    async def ask(
        self, place: str, secret: str = SECRET, early: bytes = b"", scheme: str = "Basic"
    ) -> tuple[int, Stream]:
        """Ask for a place; gives the status, and the connection behind the answer's head."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        word = base64.b64encode(f"{USER}:{secret}".encode()).decode()
        head = f"CONNECT {place} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: {scheme} {word}"
        writer.write(head.encode() + b"\r\n\r\n" + early)
        answer = await reader.readuntil(b"\r\n\r\n")
        return int(answer.split()[1]), (reader, writer)

    async def status(self, place: str, **more: Any) -> int:
        """Ask, and hang up."""
        status, stream = await self.ask(place, **more)
        stream[1].close()
        return status


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    """Serve an echo."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send back what comes."""
        while chunk := await reader.read(65_536):
            writer.write(chunk)
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    async with server:
        yield Line(tmp_path, server.sockets[0].getsockname()[1])


def name_leads_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let one name lead somewhere, each time it is asked for to the next; gives who asked."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *more: Any, **named: Any) -> Any:
        """Answer for the one name."""
        if host != NAME:
            return real(host, port, *more, **named)
        asked.append(host)
        found = addresses[min(len(asked), len(addresses)) - 1]
        kind = socket.AF_INET6 if ":" in found else socket.AF_INET
        return [(kind, socket.SOCK_STREAM, 6, "", (found, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


async def settled(check: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 10
    while not check():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.01)


async def test_bytes_go_both_ways_and_are_counted(line: Line) -> None:
    """Also those that come with the request, and the end of one side is passed on."""
    entry = f"{HOST}:{line.port}"
    async with line.proxy(entry):
        status, (reader, writer) = await line.ask(entry, early=b"early ", scheme="bASIC")
        writer.write(b"late")
        writer.write_eof()
        assert (status, await reader.read()) == (200, b"early late")
        writer.close()
        await settled(lambda: bool(line.told))
    assert line.told == [Contact(HOST, line.port, sent=10, received=10)]
    assert line.told[0].told() == f"{entry} allowed: 10 bytes sent, 10 received"


async def test_only_this_command_and_only_its_places(line: Line) -> None:
    """A wrong secret says nothing about what is allowed; nor does another port."""
    entry = f"{HOST}:{line.port}"
    async with line.proxy(entry, "*.example.org:443"):
        assert await line.status(entry, secret="FAKE-other") == 407
        assert await line.status(entry, scheme="Bearer") == 407
        for place in (f"{HOST}:{line.port - 1}", "127.0.0.1:443", "example.org:443"):
            assert await line.status(place) == 403
        for place in ("nothing", "x:y", "[::1:443", "x:0", "x:65536", "x:443:443"):
            assert await line.status(place) == 400
    assert len(line.told) == 11
    assert all(one.refused and one.sent == one.received == 0 for one in line.told)


@pytest.mark.parametrize("where", ["127.0.0.1", "10.0.0.9", "169.254.169.254", "::ffff:127.0.0.2"])
async def test_a_name_never_leads_inside(
    line: Line, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Whoever holds an allowed name cannot point it at this machine or its neighbours."""
    name_leads_to(monkeypatch, where)
    async with line.proxy(f"{NAME}:{line.port}"):
        assert await line.status(f"{NAME}:{line.port}") == 502
    assert line.told[0].refused == f"the name leads to {where}, which is not public"


async def test_a_name_is_resolved_once(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked at is dialled, not what the name says a moment later."""
    asked = name_leads_to(monkeypatch, "203.1.2.3", HOST)
    dialled: list[str] = []
    real = asyncio.open_connection

    async def dial(host: str, port: int) -> Stream:
        """Note where to, and go to the echo."""
        dialled.append(host)
        return await real(HOST, port)

    monkeypatch.setattr(asyncio, "open_connection", dial)
    async with line.proxy(f"*.example.org:{line.port}"):
        assert await line.status(f"{NAME}:{line.port}") == 200
    assert (asked, dialled) == ([NAME], ["203.1.2.3"])


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *((text, True) for text in ("151.101.0.223", "2a04:4e42::223", "::ffff:151.101.0.223")),
        *((text, False) for text in ("0.1.2.3", "127.0.0.1", "10.1.1.1", "172.16.0.1", "1.1")),
        *((text, False) for text in ("192.168.1.1", "100.64.0.1", "169.254.169.254", "::1")),
        *((text, False) for text in ("168.63.129.16", "192.0.2.1", "224.0.0.1", "240.0.0.1")),
        *((text, False) for text in ("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "::")),
        *(
            (text, False)
            for text in ("fe80::1", "fd00:ec2::254", "ff02::1", "2001::1", "fe80::1%lo", "4000::1")
        ),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    """Loopback, private, shared, link-local, metadata, and each of them inside IPv6."""
    assert is_public(address) is public


@pytest.mark.parametrize("way", ["SENT", "RECEIVED"])
async def test_too_many_bytes_are_cut_off(
    line: Line, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """All connections of a command together; the byte over the bound is not carried."""
    monkeypatch.setattr(limits, f"NETWORK_{way}_BYTES", 100)
    entry = f"{HOST}:{line.port}"
    async with line.proxy(entry):
        for size in (60, 60):
            _, (reader, writer) = await line.ask(entry)
            writer.write(b"x" * size)
            writer.write_eof()
            echoed = await reader.read()
            writer.close()
        await settled(lambda: len(line.told) == 2)
    assert echoed == b""
    assert [bool(one.cut) for one in line.told] == [False, True]
    assert f"the command {way.lower()} more than 100 bytes" in line.told[1].told()


async def test_connections_have_a_number_and_a_time(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In all, at once, in seconds; and the lines about refusals have a number too."""
    monkeypatch.setattr(limits, "NETWORK_CONNECTIONS", 2)
    monkeypatch.setattr(limits, "NETWORK_AT_ONCE", 1)
    monkeypatch.setattr(limits, "NETWORK_REFUSALS", 2)
    entry = f"{HOST}:{line.port}"
    async with line.proxy(entry):
        _, stream = await line.ask(entry)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await line.ask(entry)  # at once
        stream[1].close()
        await settled(lambda: bool(line.told))
        monkeypatch.setattr(limits, "NETWORK_AT_ONCE", 9)
        monkeypatch.setattr(limits, "NETWORK_SECONDS", 0.1)
        _, (reader, writer) = await line.ask(entry)
        assert await reader.read() == b""
        writer.close()
        for _ in range(4):
            assert await line.status(entry) == 429
        await settled(lambda: len(line.told) == 4)
    assert sorted(one.cut for one in line.told)[-1] == "open for more than 0.1 s"
    assert [one.refused for one in line.told if one.refused] == [
        *["no more than 2 connections for one command"] * 2,
        "3 more connections",
    ]


async def test_silence_ends_too(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for nothing is not waited for; a head without an end is refused."""
    monkeypatch.setattr(limits, "NETWORK_DIAL_SECONDS", 0.2)
    async with line.proxy("pypi.org:443"):
        reader, writer = await asyncio.open_unix_connection(line.socket)
        assert await reader.read() == b""
        writer.close()
        monkeypatch.undo()
        reader, writer = await asyncio.open_unix_connection(line.socket)
        writer.write(b"CONNECT x:1 HTTP/1.1\r\nA: " + b"x" * 2 * limits.HTTP_HEAD_BYTES)
        assert b" 400 " in await reader.readline()
        writer.close()
    assert line.told[0].refused.startswith("no HTTP")


async def test_where_no_line_can_be_written_nothing_is_granted(line: Line) -> None:
    """The failure is kept for whoever runs the command."""
    entry = f"{HOST}:{line.port}"
    line.failing = True
    async with line.proxy(entry) as proxy:
        assert await line.status(entry) == 200
        await settled(lambda: bool(line.told))
        assert await line.status(entry) == 429
    assert isinstance(proxy.failure, LeaseLost)
