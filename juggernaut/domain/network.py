"""What commands in the sandbox may reach: the entries of the policy, and addresses that may not.

An entry is a host and a port: `pypi.org:443`, `*.example.org:443` (any name below, at any depth),
or an address, `192.0.2.7:8443` or `[2001:db8::7]:443`. A name leads only to public addresses,
because whoever holds the name decides where it points to; an address leads where it says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.limits import NETWORK_ENTRIES
from juggernaut.domain.model import Json

Address = IPv4Address | IPv6Address

NETWORK_SCHEMA: Final[Json] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["allow"],
    "properties": {
        "allow": {
            "type": "array",
            "maxItems": NETWORK_ENTRIES,
            "items": {"type": "string", "minLength": 1, "maxLength": 300},
        }
    },
}
WILD: Final = "*."
PORT_MOST: Final = 65_535
NAME_CHARS: Final = 253
HOW: Final = (
    "write HOST:PORT with a full name in small letters (pypi.org:443), *.NAME:PORT for all names"
    " below one, or an address (192.0.2.7:443, [2001:db8::7]:443)"
)
_PART: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"(?:\*\.)?(?:{_PART}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
# Azure answers instances there, about themselves; it is public by its number.
_METADATA: Final = frozenset({ip_address("168.63.129.16")})
_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOW_32: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Allowed:
    """One entry of the policy."""

    host: str
    port: int

    @property
    def is_address(self) -> bool:
        """Say whether the entry names an address, which may be a private one."""
        return address_of(self.host) is not None

    def covers(self, host: str, port: int) -> bool:
        """Say whether a host and port are what the entry names.

        >>> Allowed("*.example.org", 443).covers("a.b.EXAMPLE.org", 443)
        True
        >>> Allowed("*.example.org", 443).covers("example.org", 443)
        False
        """
        if port != self.port:
            return False
        address = address_of(host)
        if address is not None:
            return address == address_of(self.host)
        name = host.lower()
        if self.host.startswith(WILD):
            return _NAME.fullmatch(name) is not None and name.endswith(self.host[1:])
        return name == self.host

    def __str__(self) -> str:
        """Give the entry as the policy has it."""
        return place(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Contact:
    """One connection that a command asked for: where to, what became of it, bytes both ways."""

    host: str
    port: int
    refused: str = ""
    sent: int = 0
    received: int = 0
    cut: str = ""

    def told(self) -> str:
        """Give it as one line."""
        where = place(self.host, self.port)
        if self.refused:
            return f"{where} refused: {self.refused}"
        end = f"; cut off: {self.cut}" if self.cut else ""
        return f"{where} allowed: {self.sent} bytes sent, {self.received} received{end}"


def place(host: str, port: int) -> str:
    """Write a host and port together.

    >>> place("2001:db8::7", 443)
    '[2001:db8::7]:443'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_place(text: str) -> tuple[str, int] | None:
    """Read HOST:PORT; None for what is none."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= len(str(PORT_MOST))):
        return None
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in bare) != (bare != host) or not 0 < int(port) <= PORT_MOST:
        return None
    return bare, int(port)


def read_network(raw: object) -> tuple[Allowed, ...]:
    """Read the entries of the policy; raises InvalidInput naming the wrong one."""
    given = raw.get("allow") if isinstance(raw, Mapping) else None
    entries = given if isinstance(given, Sequence) and not isinstance(given, str) else ()
    return tuple(_read_entry(str(entry)) for entry in entries)


def _read_entry(text: str) -> Allowed:
    """Read one entry."""
    found = split_place(text)
    if found is None:
        raise InvalidInput(f"network.allow: {text!r} is no host with a port: {HOW}")
    host, port = found
    if address_of(host) is None and not (len(host) <= NAME_CHARS and _NAME.fullmatch(host)):
        raise InvalidInput(f"network.allow: {text!r} names no host that can be allowed: {HOW}")
    return Allowed(host, port)


def allowed_by(entries: Sequence[Allowed], host: str, port: int) -> Allowed | None:
    """Give the entry that covers a host and port."""
    return next((entry for entry in entries if entry.covers(host, port)), None)


def address_of(text: str) -> Address | None:
    """Read an address; None for a name."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def is_public(text: str) -> bool:
    """Say whether an address belongs to the public network, also when another one hides in it."""
    address = address_of(text)
    if address is None or address in _METADATA or address.is_multicast:
        return False
    if isinstance(address, IPv6Address):
        inner = _inside(address)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_reserved


def _inside(address: IPv6Address) -> IPv4Address | None:
    """Give the IPv4 address that an IPv6 one carries."""
    if address in _NAT64:
        return IPv4Address(int(address) & _LOW_32)
    return address.ipv4_mapped or address.sixtofour
