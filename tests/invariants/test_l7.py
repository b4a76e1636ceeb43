"""L7: the secret of a lease is known to its holder alone: hashed at rest, bound to the login.

Default: 20 secrets searched for in every table and 5 impostor sessions. Full: 2,000 and 5.
"""

from __future__ import annotations

import hashlib
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.invariants.daemon_calls import WRITES, call, statement
from tests.invariants.scene import Scene, refusal
from tests.invariants.test_l2 import check_unheld
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials

SECRETS = trials(20, 2_000)
HIDDEN = (
    "SELECT lease_hash FROM juggernaut.attempts",
    "SELECT * FROM juggernaut.attempts",
    "SELECT secret_hash FROM juggernaut.sessions",
    "SELECT * FROM juggernaut.sessions",
    "COPY juggernaut.sessions TO STDOUT",
    "TABLE juggernaut.attempts",
)


async def check_hashed(scene: Scene) -> None:
    """No table holds a secret in any form that can be turned back."""
    session = await scene.swarm.worker()
    secrets = {session.secret}
    await scene.operator.execute(
        "INSERT INTO governance_tasks (title, task_type)"
        " SELECT 'task ' || n, 'command' FROM generate_series(1, $1::int) n",
        SECRETS,
    )
    while claims := await scene.swarm.store.claim(session, 20):
        secrets |= {claim.lease.secret for claim in claims}
    assert len(secrets) == SECRETS + 1
    assert all(secret.version == 4 for secret in secrets)
    tables = await scene.operator.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname IN ('public', 'juggernaut')"
    )
    forms = [form for secret in secrets for form in (str(secret), str(secret).encode().hex())]
    for table in tables:
        found = await scene.operator.fetchval(
            f"SELECT count(*) FROM {table['name']} t"
            " WHERE EXISTS (SELECT FROM unnest($1::text[]) s WHERE strpos(t::text, s) > 0)",
            forms,
        )
        assert found == 0, f"{table['name']} holds {found} secrets as they are"
    kept = await scene.operator.fetch("SELECT lease_hash FROM juggernaut.attempts")
    hashes = {hashlib.sha256(str(secret).encode()).digest() for secret in secrets}
    assert {row["lease_hash"] for row in kept} <= hashes


async def check_impostor(scene: Scene) -> None:
    """Another session of the same login that knows the fence is refused with every guess."""
    lease = (await scene.claimed()).lease
    other = await scene.database.connect(scene.worker)
    seen = await other.fetchval("SELECT fence FROM governance_tasks WHERE id = $1", lease.task_id)
    assert seen == lease.fence, "the fence is no secret"
    own = await scene.swarm.worker("w2")
    guesses: tuple[UUID | None, ...] = (uuid4(), None, UUID(int=0), own.secret, lease.task_id)
    for guess in guesses:
        await check_unheld(scene, other, lease.task_id, seen, guess, f"guess {guess}")
    assert await scene.swarm.store.still_held(lease)


async def check_no_secret_at_all(scene: Scene) -> None:
    """A task that was claimed by plain SQL has no secret, so no call can name the right one."""
    worker = await scene.database.connect(scene.worker)
    task = await scene.swarm.add()
    await scene.raw_worker(worker, "raw")
    await scene.raw_claim(worker, task, "raw")
    assert await scene.swarm.status(task) == "in_progress"
    for name in ("still_held_v1", "complete_v1"):
        answer = await call(worker, statement(name, WRITES.get(name, "")), task, 1, None)
        assert answer == [], f"{name} took no secret for the right one"
    assert await scene.swarm.status(task) == "in_progress"


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
async def test_secrets_are_hashed(scene: Scene) -> None:
    """All tables of both schemas, as text and as hex."""
    await check_hashed(scene)


async def test_hashes_are_hidden(scene: Scene) -> None:
    """No login but the owner reads even the hashes of sessions and attempts."""
    for login in (scene.worker, scene.rival, scene.approver, scene.reader):
        connection = await scene.database.connect(login)
        for query in HIDDEN:
            why = await refusal(connection, query)
            assert why is not None, f"{login.group} may {query}"
            assert why.startswith(asyncpg.InsufficientPrivilegeError.sqlstate or "?")


async def test_a_fence_alone_opens_nothing(scene: Scene) -> None:
    """Five guesses, every function."""
    await check_impostor(scene)


async def test_no_secret_is_no_key(scene: Scene) -> None:
    """The null hash of a plain-SQL lease fits no call of the daemon."""
    await check_no_secret_at_all(scene)
