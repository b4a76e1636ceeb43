"""L8: after a failover to a copy that lost commits, an old lease still opens nothing.

The fence number comes again, the secret does not. Default: 1 lost claim, every daemon function.
Full: 20 lost claims.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.fixtures_postgres import Database, Login, fresh_database, with_database
from tests.invariants.mutants import Mutant
from tests.invariants.scene import open_scene
from tests.invariants.test_l2 import check_unheld
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials

LOST = trials(1, 20)


async def check_failover(
    database: Database, worker: Login, server: str, mutant: Mutant | None = None
) -> None:
    """Claim, lose the commit, claim again elsewhere: the first holder holds nothing."""
    async with open_scene(database, worker) as scene:
        if mutant:
            await mutant.apply(scene.operator)
        task = await scene.swarm.add()
        session = await scene.swarm.worker("before")
    await database.close()
    async with fresh_database(server, urlsplit(database.url).path[1:]) as copy:
        async with open_scene(database, worker) as scene:
            (lost,) = await scene.swarm.store.claim(session, 1)
        async with open_scene(copy, worker) as scene:
            (again,) = await scene.swarm.store.claim(session, 1)
            assert again.task.id == lost.task.id == task
            assert again.lease.fence == lost.lease.fence, "the copy knew nothing of the claim"
            assert again.lease.secret != lost.lease.secret
            mine = await scene.database.connect(worker)
            fence, secret = lost.lease.fence, lost.lease.secret
            await check_unheld(scene, mine, task, fence, secret, "a lease of the lost past")
            assert await scene.swarm.store.still_held(again.lease)
        await copy.close()


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
async def test_a_lease_of_the_lost_past(
    database: Database, worker_login: Login, postgres_server: str
) -> None:
    """The copy is a real one, made while the task was still pending."""
    assert with_database(postgres_server, "x").endswith("/x")
    for _ in range(LOST):
        await check_failover(database, worker_login, postgres_server)
        async with open_scene(database, worker_login) as scene:
            await scene.operator.execute("SELECT cancel_task(id, 'over') FROM governance_tasks")
        await database.close()
