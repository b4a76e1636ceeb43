"""Dials an allowed host: its name is resolved once, and what was looked at is what is dialled."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from juggernaut.domain import limits
from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.network import Allowed, is_public

TRIES: Final = 3

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class NotReached(InvalidInput):
    """A host that is not to be reached, or cannot be; the message says why."""


async def dial(entry: Allowed, host: str) -> Stream:
    """Connect to a host that an entry covers; raises NotReached."""
    try:
        async with asyncio.timeout(limits.NETWORK_DIAL_SECONDS):
            return await _first(await _addresses(entry, host), entry.port)
    except TimeoutError:
        seconds = limits.NETWORK_DIAL_SECONDS
        raise NotReached(f"no answer within {seconds:g} s") from None


async def _addresses(entry: Allowed, host: str) -> list[str]:
    """Resolve a host; a name that leads to any address that is not public is refused as a whole."""
    if entry.is_address:
        return [host]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, entry.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotReached(f"the name cannot be resolved: {error}") from None
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    inner = [address for address in addresses if not is_public(address)]
    if inner or not addresses:
        raise NotReached(f"the name leads to {', '.join(inner) or 'nothing'}, which is not public")
    return addresses


async def _first(addresses: list[str], port: int) -> Stream:
    """Connect to the first address that answers."""
    why = ""
    for address in addresses[:TRIES]:
        try:
            return await asyncio.open_connection(address, port)
        except OSError as error:
            why = str(error)
    raise NotReached(f"no connection: {why}")
