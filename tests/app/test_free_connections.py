"""A login leaves the others connections, and one that has none left says so, and waits."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from juggernaut.adapters.postgres.board import open_board
from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.app.doctor import judge_bounds
from juggernaut.app.logins import connected, usual
from juggernaut.app.migrate import check_schema
from juggernaut.domain.errors import DatabaseUnreachable
from tests.fixtures_postgres import Database, Login


@pytest.mark.parametrize(
    ("kind", "room", "most"),
    [("worker", 497, 100), ("worker", 97, 48), ("plain", 97, 20), ("reader", 22, 11)]
    + [("worker", 10, 8), ("approver", 3, 8)],
)
def test_a_login_has_half_of_the_server_at_most(kind: str, room: int, most: int) -> None:
    """But what one worker process needs."""
    assert usual(kind, room) == most


def test_a_bound_that_bounds_nothing_is_named() -> None:
    """It is to be below what the server has for all logins."""
    rows = [
        {"name": f"of{most}", "kind": "worker", "most": most, "bounded_files": False}
        for most in (None, 96, 97, 100)
    ]
    (found,) = judge_bounds(rows, 97)
    assert found.level == "warn"
    assert "97) of ofNone, of97, of100" in found.detail


async def test_who_has_no_connection_left_is_told_so(
    database: Database, worker_login: Login
) -> None:
    """By whatever connects; as an outage, for which `juggernaut run` waits."""
    operator = await database.connect()
    await operator.execute(f'ALTER ROLE "{worker_login.name}" CONNECTION LIMIT 1')
    url = database.url_for(worker_login.name, worker_login.password)
    kept = await asyncpg.connect(url)
    try:
        for entered in (connected(url), open_pool(url, size=1), open_board(url)):
            with pytest.raises(DatabaseUnreachable, match="is free: .*CONNECTION LIMIT n"):
                await entered.__aenter__()
        with pytest.raises(DatabaseUnreachable, match="is free: .*login of its own"):
            await check_schema(url, Path("migrations"))
    finally:
        await kept.close()
