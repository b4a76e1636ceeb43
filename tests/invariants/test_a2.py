"""A2: an approval is of bytes.

100 (full: 1,000) one-byte mutations of an approved plan, and as many of an approved diff, each
under its own digest and under the approved one: none passes.
"""

from __future__ import annotations

import json
import random

import pytest

from juggernaut.domain.digest import canonical, digest_of
from juggernaut.domain.model import Claim, Digest, Gate, Risk
from tests.invariants.asking import BODY, approved, gate, plan_of, raw_asked, refused, second
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_ap import MUTANTS
from tests.invariants.scene import Connection, Scene
from tests.invariants.trials import trials

SEED = 20261122
DIFF: dict[str, object] = {
    **{"head": "1" * 40, "base": "2" * 40, "policy": "1:abc"},
    "diff": "--- a/x\n+++ b/x\n-pay(1)\n+pay(2)\n",
}


def mutations(body: dict[str, object], wanted: int) -> list[tuple[str, Digest]]:
    """Change one byte of the canonical bytes so that they still are JSON, but another value."""
    dice = random.Random(SEED)
    text = canonical(body).decode()
    found: list[tuple[str, Digest]] = []
    while len(found) < wanted:
        place = dice.randrange(len(text))
        changed = text[:place] + chr(dice.randrange(32, 127)) + text[place + 1 :]
        try:
            value = json.loads(changed)
        except ValueError:
            continue
        if isinstance(value, dict) and value != body:
            found.append((changed, digest_of(value)))
    return found


async def count_accepted(
    connection: Connection, claim: Claim, body: dict[str, object], which: str, risk: str
) -> int:
    """Try every mutation under its own digest and under the approved one."""
    accepted = 0
    for text, digest in mutations(body, trials(100, 1_000)):
        for told in (digest, digest_of(body)):
            accepted += await gate(connection, claim, text, told, which, risk)
    return accepted


async def check_gates(scene: Scene) -> None:
    """The plan's bytes and the diff's bytes pass, and no others."""
    claim = await approved(scene, Risk.CRITICAL)
    connection = await scene.database.connect(scene.worker)
    right = canonical(BODY).decode()
    assert await gate(connection, claim, right, digest_of(BODY), "plan", "critical"), (
        "not even these"
    )
    assert await count_accepted(connection, claim, BODY, "plan", "critical") == 0
    plan = plan_of(BODY, Risk.CRITICAL)
    assert await scene.swarm.store.pass_gate(claim.lease, Gate.PLAN, plan)
    await refuse_merge(scene, connection, claim, "1" * 40)
    diff = plan_of(DIFF, Risk.CRITICAL)
    decision = await scene.swarm.store.pass_gate(claim.lease, Gate.DIFF, diff)
    assert decision is not None
    assert not decision.go
    approver = await scene.database.connect(scene.approver)
    await approver.execute("SELECT approve_task($1)", claim.task.id)
    async with second(scene) as other:
        await other.execute("SELECT approve_task($1)", claim.task.id)
    again = await scene.swarm.claim_one(await scene.swarm.worker("w3"))
    assert await count_accepted(connection, again, DIFF, "diff", "critical") == 0
    await scene.swarm.store.pass_gate(again.lease, Gate.DIFF, diff)
    await refuse_merge(scene, connection, again, "3" * 40)
    merge = await scene.swarm.store.intend(again.lease, "merge", "k", {"expected": "1" * 40})
    assert merge is not None


async def refuse_merge(scene: Scene, connection: Connection, claim: Claim, head: str) -> None:
    """A merge of a head that nobody approved is not even intended."""
    lease = claim.lease
    await refused(
        connection,
        "SELECT juggernaut.effect_intend_v1($1, $2, $3, 'merge', 'k',"
        " jsonb_build_object('expected', $4::text))",
        *(lease.task_id, lease.fence, lease.secret, head),
    )


async def check_raw(scene: Scene) -> None:
    """A plain-SQL worker claims what was approved, and not what it became since."""
    worker = await scene.database.connect(scene.worker)
    task = await raw_asked(scene, worker)
    approver = await scene.database.connect(scene.approver)
    await approver.execute("SELECT approve_task($1)", task)
    await scene.operator.execute("ALTER TABLE governance_tasks DISABLE TRIGGER guard_update")
    for column, value in (("title", "a tasK"), ("payload", '{"command": ["rm"]}'), ("repo", "x")):
        before = await scene.operator.fetchval(f"SELECT {column} FROM governance_tasks")
        change = f"UPDATE governance_tasks SET {column} = $1"
        await scene.operator.execute(change, value)
        async with scene.operator.transaction():
            await scene.operator.execute(
                "ALTER TABLE governance_tasks ENABLE ALWAYS TRIGGER guard_update"
            )
        await refused(
            worker,
            "UPDATE governance_tasks SET status = 'in_progress', assigned_worker = 'raw'"
            " WHERE id = $1",
            task,
        )
        await scene.operator.execute("ALTER TABLE governance_tasks DISABLE TRIGGER guard_update")
        await scene.operator.execute(change, before)
    await scene.operator.execute("ALTER TABLE governance_tasks ENABLE ALWAYS TRIGGER guard_update")
    await scene.raw_claim(worker, task, "raw")
    assert await scene.swarm.status(task) == "in_progress"


async def test_no_other_bytes_pass_the_gates(scene: Scene) -> None:
    """Plan, diff and merge: 400 tries (full: 4,000)."""
    await check_gates(scene)


async def test_no_other_row_is_claimed_by_plain_sql(scene: Scene) -> None:
    """The row is changed behind the guard, so that only the digest can tell."""
    await check_raw(scene)


@pytest.mark.parametrize("mutant", MUTANTS["a2"], ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one guard taken out the check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await (check_raw(scene) if mutant.name.startswith("raw") else check_gates(scene))
