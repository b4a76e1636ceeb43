"""Whose pull request it is: of who holds the task of its branch, or of the login that opened it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.errors import LawRefused
from juggernaut.domain.model import Claim, Sha
from tests.fixtures_postgres import Database, Login, fresh_login
from tests.store.swarm import Swarm, open_swarm

REPO = "/forge/app.git"
HEAD, MERGE = Sha("a" * 40), Sha("b" * 40)
OURS = "belongs to another login"
OPEN = "SELECT number FROM juggernaut.pull_open_v2($1, $2, 'main', 't', 'b', $3, false)"
CLOSE = "SELECT state FROM juggernaut.pull_close_v1($1, $2, 'no')"
INTEND = "SELECT juggernaut.pull_intend_v1($1, $2, $3, $4)"
CONFIRM = "SELECT state FROM juggernaut.pull_confirm_v1($1, $2, $3)"


@dataclass(frozen=True, slots=True)
class Forge:
    """A swarm, the connection of its login, and one of another worker's login."""

    swarm: Swarm
    mine: asyncpg.Connection[asyncpg.Record]
    rival: asyncpg.Connection[asyncpg.Record]

    async def claimed(self) -> tuple[Claim, str]:
        """A code task that the swarm holds, and its branch."""
        await self.swarm.add(task_type="code", repo=REPO)
        claim = await self.swarm.claim_one(await self.swarm.worker())
        return claim, f"feature/{claim.task.id}"


@pytest.fixture
async def forge(database: Database, worker_login: Login) -> AsyncIterator[Forge]:
    """Two worker logins at one database."""
    async with (
        open_swarm(database, worker_login) as swarm,
        fresh_login(database, "juggernaut_worker") as login,
    ):
        mine, rival = await database.connect(worker_login), await database.connect(login)
        yield Forge(swarm, mine, rival)


async def refused(connection: asyncpg.Connection[asyncpg.Record], said: str, *of: object) -> None:
    """Assert that the law refuses a move of somebody else's pull request."""
    with pytest.raises(asyncpg.PostgresError, match=OURS):
        await connection.fetch(said, REPO, *of)


async def test_a_watch_is_over_the_own_branch(forge: Forge) -> None:
    """Who tidies up later acts on what it names: no other repository, and no other branch."""
    claim, branch = await forge.claimed()
    note = forge.swarm.store.note_pull
    for name in ("release-2026", "main", "feature/" + str(UUID(int=1)), branch.upper()):
        with pytest.raises(LawRefused, match="is not the branch of task"):
            await note(claim.lease, REPO, name, 77, HEAD)
    with pytest.raises(LawRefused, match="not about 'acme/other'"):
        await note(claim.lease, "acme/other", branch, 77, HEAD)
    assert await note(claim.lease, REPO, branch, 77, HEAD)


async def test_who_holds_the_task_moves_its_pull_request(forge: Forge) -> None:
    """Whoever opened it, nobody else closes it, merges it or says that it was merged."""
    claim, branch = await forge.claimed()
    await refused(forge.rival, OPEN, branch, HEAD)
    number = await forge.mine.fetchval(OPEN, REPO, branch, HEAD)
    await refused(forge.rival, CLOSE, number)
    await refused(forge.rival, INTEND, number, HEAD, MERGE)
    assert await forge.mine.fetchval(INTEND, REPO, number, HEAD, MERGE)
    await refused(forge.rival, CONFIRM, number, MERGE)
    assert await forge.mine.fetchval(CONFIRM, REPO, number, MERGE) == "merged"


async def test_a_task_that_another_login_took_over_brings_its_pull_request(forge: Forge) -> None:
    """After a hand-over the new holder goes on, and the login that opened it is out."""
    claim, branch = await forge.claimed()
    number = await forge.mine.fetchval(OPEN, REPO, branch, HEAD)
    await forge.swarm.operator.execute(
        "UPDATE governance_tasks SET lease_login = (SELECT usename FROM pg_stat_activity"
        " WHERE pid = $2) WHERE id = $1",
        claim.task.id,
        forge.rival.get_server_pid(),
    )
    await refused(forge.mine, INTEND, number, HEAD, MERGE)
    assert await forge.rival.fetchval(INTEND, REPO, number, HEAD, MERGE)
    assert await forge.rival.fetchval(CLOSE, REPO, number) == "closed"


async def test_a_merge_that_was_cut_short_is_written_down_by_any_worker(forge: Forge) -> None:
    """The base has it and nobody holds the task: no other way leads out of that."""
    claim, branch = await forge.claimed()
    number = await forge.mine.fetchval(OPEN, REPO, branch, HEAD)
    assert await forge.mine.fetchval(INTEND, REPO, number, HEAD, MERGE)
    assert await forge.swarm.store.release(claim.lease, "stopped")
    await refused(forge.rival, INTEND, number, HEAD, HEAD)
    await refused(forge.rival, CLOSE, number)
    assert await forge.rival.fetchval(CONFIRM, REPO, number, MERGE) == "merged"


async def test_what_was_given_up_is_closed_by_any_worker(
    forge: Forge, database: Database, approver_login: Login
) -> None:
    """The duty that tidies up may run in a process of another login."""
    claim, branch = await forge.claimed()
    number = await forge.mine.fetchval(OPEN, REPO, branch, HEAD)
    approver = await database.connect(approver_login)
    await approver.execute("SELECT cancel_task($1, 'no')", claim.task.id)
    await refused(forge.rival, INTEND, number, HEAD, MERGE)
    assert await forge.rival.fetchval(CLOSE, REPO, number) == "closed"


async def test_a_branch_without_a_task_is_of_who_opened_it(forge: Forge) -> None:
    """A program that uses the local forge for itself keeps what it opened."""
    number = await forge.mine.fetchval(OPEN, REPO, "feature/x", HEAD)
    for move in ((CLOSE,), (INTEND, HEAD, MERGE)):
        await refused(forge.rival, move[0], number, *move[1:])
    assert await forge.mine.fetchval(INTEND, REPO, number, HEAD, MERGE)
    await refused(forge.rival, CONFIRM, number, MERGE)
    assert await forge.mine.fetchval(CLOSE, REPO, number) == "closed"
