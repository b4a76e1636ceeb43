"""Is our server up? Only a login can tell: a PID file and an open port both lie."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import asyncpg

from juggernaut.app.local_postgres.state import State

HOST = "127.0.0.1"
# Short, because a stranger may hold the port and say nothing; the callers ask again.
PROBE_TIMEOUT_SECONDS = 2.0
CONNECT_TIMEOUT_SECONDS = 15.0


class Answer(Enum):
    """What answered on the port."""

    READY = "ready"
    BUSY = "busy"
    FOREIGN = "foreign"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Probe:
    """An answer and its reason in one line, for messages."""

    answer: Answer
    reason: str = ""


async def connect(
    state: State, database: str, timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
) -> asyncpg.Connection:
    """One connection with every parameter given, so that no PG* variable can bend it."""
    return await asyncpg.connect(
        host=HOST,
        port=state.port,
        user=state.user,
        password=state.password,
        database=database,
        ssl=False,
        timeout=timeout_seconds,
        statement_cache_size=0,
    )


async def probe(state: State) -> Probe:
    """Log in and ask which data folder is served."""
    try:
        connection = await connect(state, "postgres", PROBE_TIMEOUT_SECONDS)
        try:
            served = await connection.fetchval("SHOW data_directory", timeout=PROBE_TIMEOUT_SECONDS)
        finally:
            await connection.close(timeout=PROBE_TIMEOUT_SECONDS)
    except (asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError) as error:
        return Probe(Answer.BUSY, str(error))
    except TimeoutError:
        return Probe(Answer.BUSY, "no answer to a login")
    except OSError as error:
        return Probe(Answer.DOWN, str(error))
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return Probe(Answer.FOREIGN, str(error))
    if Path(str(served)) != state.data_dir:
        return Probe(Answer.FOREIGN, f"serves {served}")
    return Probe(Answer.READY)


async def ensure_database(state: State, database: str) -> None:
    """Create `database` when it is missing."""
    connection = await connect(state, "postgres")
    try:
        if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
            return
        statement = await connection.fetchval(
            "SELECT format('CREATE DATABASE %I TEMPLATE template0', $1::text)", database
        )
        await connection.execute(statement)
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_SECONDS)
