"""Serves a door on a socket that was bound before, until the one who asked for it cancels."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

import structlog
import uvicorn
from fastapi import FastAPI

from juggernaut.domain.errors import ConfigError
from juggernaut.domain.limits import (
    CLOSE_SECONDS,
    HTTP_CONNECTIONS,
    HTTP_HEAD_BYTES,
    HTTP_IDLE_SECONDS,
)

BACKLOG: Final = 64


class QuietServer(uvicorn.Server):
    """A server that leaves the signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """Take the place, so that a start that cannot have it fails at once."""
    try:
        return socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"PORT {port} at {host} cannot be had ({error}): choose another one, or unset PORT"
        ) from None


async def serve(door: FastAPI, place: socket.socket) -> None:
    """Answer until cancelled; requests that began are finished, for some seconds."""
    config = uvicorn.Config(
        door,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        limit_concurrency=HTTP_CONNECTIONS,
        timeout_keep_alive=HTTP_IDLE_SECONDS,
        timeout_graceful_shutdown=round(CLOSE_SECONDS),
        h11_max_incomplete_event_size=HTTP_HEAD_BYTES,
    )
    server = QuietServer(config)
    host, port = place.getsockname()[:2]
    structlog.get_logger(__name__).info("http door open", host=host, port=port)
    # The server closes what it is given, and it may be started again.
    running = asyncio.ensure_future(server.serve(sockets=[place.dup()]))
    try:
        await asyncio.shield(running)
    finally:
        server.should_exit = True
        await running
