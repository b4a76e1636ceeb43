"""A process that claims one task and does it with puppets: what a fault may kill.

python -m tests.invariants.one_attempt DATABASE_URL FOLDER WORKER_ID
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.domain.model import WorkerId
from juggernaut.lifecycle.claim import claim
from juggernaut.lifecycle.execute import run_attempt
from tests.adapters.forges.repos import Origin
from tests.fakes.puppets import PuppetAgent, PuppetModel
from tests.roles.bench import GOOD_SLUG, make_services, role_named


async def main(url: str, folder: Path, name: str) -> None:
    """Claim and do one task."""
    origin = Origin(folder / "origin.git", folder / "clone")
    role = role_named("executor")
    async with open_pool(url, size=2) as pool:
        agent = PuppetAgent({"slug.py": GOOD_SLUG})
        services = make_services(pool, folder / "root", origin, agent, PuppetModel({}))
        meta = {"version": "0", "host": "test", "pid": 1}
        session = await services.store.open_session(
            WorkerId(name), "executor", role.task_types, meta
        )
        (found,) = await claim(services.store, session, 1)
        await run_attempt(services, role, found, lambda: False)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
