"""`juggernaut task show` shows what waits for a decision, whatever the worker's ledger holds."""

from __future__ import annotations

import asyncio
import contextlib
import json

import asyncpg
import pytest

from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.adapters.postgres.store import PgStore
from juggernaut.app.cli.approvals import HOW_TO_READ
from tests.app.commands import good, run
from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm

GATE = "SELECT juggernaut.pass_gate_v1($1, $2, $3, $4, repeat($5, 64), $6::text::jsonb, $7, '{f}')"
INTEND = "SELECT id FROM juggernaut.effect_intend_v1($1, $2, $3, 'push', $4, '{}')"
CONFIRM = "SELECT juggernaut.effect_confirm_v1($1, $2, $3, $4, $5::text::jsonb)"
HEAD = "a" * 40
NICE, EVIL = "make nice", "rm -rf /srv"
PART = "what is asked, which the digest is of"


async def lie(database: Database, worker: Login, gate: str) -> str:
    """Write one thing into the ledger, and ask for another; gives the task."""
    url = database.url_for(worker.name, worker.password)
    operator = await asyncpg.connect(database.url)
    async with open_pool(url, size=2) as pool, contextlib.AsyncExitStack() as last:
        last.push_async_callback(operator.close)
        swarm = Swarm(PgStore(pool), operator, pool)
        await swarm.add(risk_level="medium")
        lease = (await swarm.claim_one(await swarm.worker())).lease
        held = (lease.task_id, lease.fence, lease.secret)
        body = {"commands": [NICE]}
        await swarm.pool.execute(GATE, *held, "plan", "1", json.dumps(body), "medium")
        if gate == "diff":
            key = f"feature/{lease.task_id}@{HEAD}"
            effect = await swarm.pool.fetchval(INTEND, *held, key)
            pushed = json.dumps({"head": HEAD, "diff": f"+{NICE}\n"})
            await swarm.pool.execute(CONFIRM, *held, effect, pushed)
        asked = {"head": HEAD, "diff": f"+{EVIL}\n"} if gate == "diff" else {"commands": [EVIL]}
        await swarm.pool.execute(GATE, *held, gate, "2", json.dumps(asked), "high")
        return str(lease.task_id)


@pytest.mark.parametrize("gate", ["plan", "diff"])
def test_what_is_asked_is_shown_before_the_ledger(
    database: Database, worker_login: Login, gate: str
) -> None:
    """With its digest, in a part of its own; what the worker wrote down is headed as its word."""
    task = asyncio.run(lie(database, worker_login, gate))
    (asked,) = good(database, "approvals")
    request = good(database, "task", "show", task)["story"]["request"]
    assert (request["digest"], request["plan"]) == (asked["digest"], asked["plan"])
    text = run(database, "task", "show", task, "--diff").out
    part = text.split(f"\n{PART}\n")[1].split("\n\n")[0]
    assert EVIL in part
    assert NICE not in part
    assert text.index(f"digest: {asked['digest']}") < text.index(PART) < text.index("\nattempts ")
    assert NICE not in text.split("(the worker's word)")[0]
    assert "`what is asked`" in HOW_TO_READ
