"""A sandbox with a way out: the same walls, and inside them a proxy at the loopback.

The command finds the proxy in the variables that pip, npm and most others obey. Behind them is a
relay (juggernaut/relay) with a socket of this process, where the proxy is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from juggernaut.adapters.gateway.proxy import USER, Proxy
from juggernaut.domain import limits
from juggernaut.domain.exchange import CommandResult
from juggernaut.domain.network import Allowed
from juggernaut.ports import Sandbox, TellContact
from juggernaut.relay.doors import (
    NO_PROXY_VARIABLES,
    PROXY_VARIABLES,
    Doors,
    Order,
    open_doors,
)

WALLED: Final = "bubblewrap"
SOCKET: Final = "proxy.sock"
SECRET_BYTES: Final = 24
MARK_BYTES: Final = 12
OWN: Final = "127.0.0.1,localhost,::1"  # servers of the command itself


class ProxyGateway:
    """Opens the way for sandboxes that have a network of their own, which is only bubblewrap."""

    def __init__(self, scratch: Path) -> None:
        """Use `scratch` for the sockets of each command."""
        self._scratch = scratch

    def through(self, sandbox: Sandbox, allowed: Sequence[Allowed], tell: TellContact) -> Sandbox:
        """Give a sandbox whose commands reach what is allowed, where that can be done."""
        if sandbox.level != WALLED or not allowed:
            return sandbox
        return ReachingSandbox(sandbox, self._scratch, allowed, tell)


class ReachingSandbox:
    """Runs each command beside a proxy of its own."""

    def __init__(
        self, inner: Sandbox, scratch: Path, allowed: Sequence[Allowed], tell: TellContact
    ) -> None:
        """Run in `inner`, and lead to what is allowed."""
        self._inner = inner
        self._scratch = scratch
        self._allowed = allowed
        self._tell = tell

    @property
    def level(self) -> str:
        """Give the strength: the walls are the same."""
        return self._inner.level

    async def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        *,
        timeout_seconds: float,
        writable: Sequence[Path] = (),
        memory_bytes: int = limits.COMMAND_MEMORY_BYTES,
    ) -> CommandResult:
        """Run argv inside; raises what kept a line about a connection from being written."""
        secret = secrets.token_urlsafe(SECRET_BYTES)
        proxy = Proxy(self._allowed, secret, self._tell)
        async with self._opened(proxy) as doors:
            words = await asyncio.to_thread(doors.order, _order(argv, cwd, secret))
            result = await self._inner.run(
                words if argv else argv,
                cwd,
                timeout_seconds=timeout_seconds,
                writable=[*writable, doors.folder],
                memory_bytes=memory_bytes,
            )
        if proxy.failure is not None:
            raise proxy.failure
        return replace(result, argv=tuple(argv))

    @asynccontextmanager
    async def _opened(self, proxy: Proxy) -> AsyncIterator[Doors]:
        """Open the proxy at the socket that leads into the sandbox."""
        await asyncio.to_thread(self._scratch.mkdir, parents=True, exist_ok=True)
        doors = await asyncio.to_thread(open_doors, self._scratch)
        try:
            server = await asyncio.start_unix_server(proxy.accept, sock=doors.listen(SOCKET))
            async with server:
                try:
                    yield doors
                finally:
                    await proxy.close()
        finally:
            await asyncio.shield(asyncio.to_thread(doors.remove))


def _order(argv: Sequence[str], cwd: Path, secret: str) -> Order:
    """Give what the relay starts; no text of the command can look like the mark of the port."""
    mark = f"@{secrets.token_hex(MARK_BYTES)}@"
    way = f"http://{USER}:{secret}@127.0.0.1:{mark}"
    return Order(
        argv=tuple(argv),
        cwd=str(cwd.resolve()),
        env=dict.fromkeys(PROXY_VARIABLES, way) | dict.fromkeys(NO_PROXY_VARIABLES, OWN),
        doors={mark: SOCKET},
    )
