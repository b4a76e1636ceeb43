"""A pull request of the local forge, move by move: who opens it, into what, at which head."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from juggernaut.domain.digest import digest_of
from juggernaut.domain.model import Claim, Gate, Plan, Risk, Session
from tests.fixtures_postgres import Database, Login, fresh_login
from tests.store.swarm import Swarm, open_swarm

REPO = "/forge/app.git"
HEAD, OTHER, MERGE = "a" * 40, "c" * 40, "b" * 40
FOREIGN = "belongs to another login"
UNHELD = "nobody holds the task"
OPEN = "SELECT number FROM juggernaut.pull_open_v2($1, $2, $3, 't', 'b', $4, false)"
INTEND = "SELECT juggernaut.pull_intend_v1($1, $2, $3, $4)"
MOVE = "SELECT juggernaut.pull_head_v1($1, $2, $3)"
READY = "SELECT * FROM juggernaut.pull_ready_v1($1, $2)"
CHECK = "SELECT juggernaut.check_post_v1($1, $2, $3, $4, '')"
PASSED = "SELECT passed, posted_by FROM juggernaut.checks WHERE sha = $1 AND name = $2"


@dataclass(frozen=True, slots=True)
class Forge:
    """A swarm, a connection of its login, one of another worker's, and two people."""

    swarm: Swarm
    session: Session
    mine: asyncpg.Connection[asyncpg.Record]
    rival: asyncpg.Connection[asyncpg.Record]
    people: tuple[asyncpg.Connection[asyncpg.Record], ...]

    async def claimed(self, risk: str = "medium") -> tuple[Claim, str]:
        """A code task that the swarm holds, and its branch."""
        task = await self.swarm.add(task_type="code", repo=REPO, risk_level=risk)
        return await self.swarm.claim_one(self.session), f"feature/{task}"

    async def opened(self, branch: str) -> int:
        """Open its pull request."""
        number: int = await self.mine.fetchval(OPEN, REPO, branch, "main", HEAD)
        return number

    async def approved(self, claim: Claim, gate: Gate, head: str) -> Claim:
        """Ask two people for a diff or a plan, and claim the task again."""
        body: dict[str, object] = {"diff": "+x", "head": head}
        plan = Plan(body, digest_of(body), Risk.CRITICAL, ())
        decision = await self.swarm.store.pass_gate(claim.lease, gate, plan)
        assert decision is not None
        if not decision.go:
            for person in self.people:
                await person.execute("SELECT approve_task($1)", claim.task.id)
            claim = await self.swarm.claim_one(self.session)
            await self.swarm.store.pass_gate(claim.lease, gate, plan)
        return claim


@pytest.fixture
async def forge(database: Database, worker_login: Login) -> AsyncIterator[Forge]:
    """Two worker logins and two approvers at one database."""
    async with (
        open_swarm(database, worker_login) as swarm,
        fresh_login(database, "juggernaut_worker") as rival,
        fresh_login(database, "juggernaut_approver") as one,
        fresh_login(database, "juggernaut_approver") as two,
    ):
        people = (await database.connect(one), await database.connect(two))
        mine = await database.connect(worker_login)
        yield Forge(swarm, await swarm.worker(), mine, await database.connect(rival), people)


async def refused(
    connection: asyncpg.Connection[asyncpg.Record], why: str, said: str, *of: object
) -> None:
    """Assert that the law refuses a move for this reason."""
    with pytest.raises(asyncpg.PostgresError, match=why):
        await connection.fetch(said, REPO, *of)


async def test_a_critical_merge_is_not_even_recorded_without_its_approval(forge: Forge) -> None:
    """The record asks what the ledger of effects asks: this diff, at this head."""
    claim, branch = await forge.claimed("critical")
    number = await forge.opened(branch)
    await refused(forge.mine, "its plan was not approved", INTEND, number, HEAD, MERGE)
    claim = await forge.approved(claim, Gate.PLAN, HEAD)
    await refused(forge.mine, "this diff was not approved", INTEND, number, HEAD, MERGE)
    claim = await forge.approved(claim, Gate.DIFF, HEAD)
    await refused(forge.mine, "this diff was not approved", INTEND, number, OTHER, MERGE)
    await refused(forge.swarm.operator, "this diff was not approved", INTEND, number, OTHER, MERGE)
    assert await forge.mine.fetchval(INTEND, REPO, number, HEAD, MERGE)


async def test_a_high_merge_waits_for_its_plan(forge: Forge) -> None:
    """One approval of the plan, whatever head it became; a low one waits for nobody."""
    claim, branch = await forge.claimed("high")
    number = await forge.opened(branch)
    await refused(forge.mine, "its plan was not approved", INTEND, number, HEAD, MERGE)
    await forge.swarm.store.release(claim.lease, "stopped")
    await forge.swarm.operator.execute("SELECT cancel_task($1)", claim.task.id)
    _, branch = await forge.claimed()
    assert await forge.mine.fetchval(INTEND, REPO, await forge.opened(branch), HEAD, MERGE)


async def test_a_merge_is_intended_by_who_holds_the_task(forge: Forge) -> None:
    """Not by who opened the pull request and gave the task back, or after a cancel."""
    claim, branch = await forge.claimed()
    number = await forge.opened(branch)
    assert await forge.swarm.store.release(claim.lease, "stopped")
    await refused(forge.mine, UNHELD, INTEND, number, HEAD, MERGE)
    claim = await forge.swarm.claim_one(forge.session)
    assert await forge.mine.fetchval(INTEND, REPO, number, HEAD, MERGE)
    await forge.people[0].execute("SELECT cancel_task($1)", claim.task.id)
    await refused(forge.mine, UNHELD, INTEND, number, HEAD, MERGE)


async def test_a_branch_of_a_task_is_opened_by_who_holds_it(forge: Forge) -> None:
    """Nobody proposes what another will merge; who opened it before finds it again."""
    task = await forge.swarm.add(task_type="code", repo=REPO)
    branch = f"feature/{task}"
    for login in (forge.rival, forge.mine):
        await refused(login, UNHELD, OPEN, branch, "main", HEAD)
    claim = await forge.swarm.claim_one(forge.session)
    await refused(forge.rival, FOREIGN, OPEN, branch, "main", HEAD)
    number = await forge.opened(branch)
    assert await forge.swarm.store.release(claim.lease, "stopped")
    assert await forge.opened(branch) == number
    await refused(forge.rival, FOREIGN, OPEN, branch, "main", HEAD)


async def test_a_base_is_chosen_once(forge: Forge) -> None:
    """Whoever asks for another one is refused, and the record stays."""
    _, branch = await forge.claimed()
    number = await forge.opened(branch)
    await refused(forge.mine, "goes into main, not into prod", OPEN, branch, "prod", HEAD)
    await refused(forge.swarm.operator, "goes into main", OPEN, branch, "prod", HEAD)
    assert await forge.opened(branch) == number


async def test_its_head_and_its_draft_are_its_owners(forge: Forge) -> None:
    """A review is of the head in the record: a stranger moves neither."""
    claim, branch = await forge.claimed()
    number = await forge.opened(branch)
    await forge.swarm.operator.execute("UPDATE juggernaut.pull_requests SET draft = true")
    await refused(forge.rival, FOREIGN, MOVE, number, OTHER)
    await refused(forge.rival, FOREIGN, READY, number)
    await forge.rival.fetch(MOVE, REPO, number, HEAD)  # where it stands already: nothing moves
    await forge.mine.fetch(MOVE, REPO, number, OTHER)
    (row,) = await forge.mine.fetch(READY, REPO, number)
    assert (row["head_sha"], row["draft"]) == (OTHER, False)
    assert await forge.swarm.store.release(claim.lease, "stopped")
    await refused(forge.rival, FOREIGN, MOVE, number, HEAD)


async def test_a_persons_check_stays(forge: Forge) -> None:
    """No worker's login makes it green, the holder of the task included; a person may."""
    claim, branch = await forge.claimed()
    await forge.swarm.store.intend(claim.lease, "push", f"{branch}@{HEAD}", {"head": HEAD})
    person = forge.people[0]
    report = "SELECT report_check($1, $2, 'ci', $3)"
    await person.fetch(report, REPO, HEAD, False)
    for login, why in ((forge.rival, FOREIGN), (forge.mine, "was posted by another login")):
        await refused(login, why, CHECK, HEAD, "ci", True)
    assert not await forge.mine.fetchval(PASSED, HEAD, "ci")
    await forge.swarm.operator.execute("UPDATE juggernaut.checks SET posted_by = 'gone'")
    await refused(forge.mine, "was posted by another login", CHECK, HEAD, "ci", True)
    await person.fetch(report, REPO, HEAD, True)
    assert await forge.mine.fetchval(PASSED, HEAD, "ci")


async def test_a_check_is_of_who_pushed_the_commit(forge: Forge) -> None:
    """Or took over its task; what no task pushed is of the login that spoke first."""
    claim, branch = await forge.claimed()
    pushed = await forge.swarm.store.intend(claim.lease, "push", f"{branch}@{HEAD}", {"head": HEAD})
    assert pushed is not None
    assert await forge.swarm.store.confirm(claim.lease, pushed.id, {})
    await refused(forge.rival, FOREIGN, CHECK, HEAD, "juggernaut/verify", True)
    await forge.mine.fetch(CHECK, REPO, HEAD, "juggernaut/verify", False)
    await forge.swarm.operator.execute(
        "UPDATE governance_tasks SET lease_login = (SELECT usename FROM pg_stat_activity"
        " WHERE pid = $2) WHERE id = $1",
        claim.task.id,
        forge.rival.get_server_pid(),
    )
    await refused(forge.mine, FOREIGN, CHECK, HEAD, "juggernaut/verify", True)
    await forge.rival.fetch(CHECK, REPO, HEAD, "juggernaut/verify", True)
    assert await forge.mine.fetchval(PASSED, HEAD, "juggernaut/verify")
    await forge.mine.fetch(CHECK, REPO, OTHER, "x", False)
    await refused(forge.rival, "was posted by another login", CHECK, OTHER, "x", True)
    await forge.mine.fetch(CHECK, REPO, OTHER, "x", True)
