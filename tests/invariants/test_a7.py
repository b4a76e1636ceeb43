"""A7: what a person sees is rendered from the hashed bytes, and a terminal only shows it."""

from __future__ import annotations

import json
import unicodedata
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.digest import canonical, digest_of
from juggernaut.domain.model import Gate, Plan, Risk
from tests.invariants.asking import BODY, ask, gate
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_ap import MUTANTS
from tests.invariants.scene import Scene

NASTY = (
    "safe\u202egpj.exe\u2066\x1b[2Jclear\r\x1b]0;title\x07\u200bzero\U000e0041tag\u2028line\x9b0m"
)
SHOWN = """
SELECT title, reason, plan, risk_factors, digest,
       (SELECT digest FROM approvals WHERE task_id = $1 AND status = 'pending') AS hashed
  FROM pending_approvals WHERE task_id = $1
"""


def hidden(text: str) -> set[str]:
    """Name what a terminal would obey, or nobody would see."""
    return {
        c for c in text if c != "\n" and c != "\t" and unicodedata.category(c) in {"Cc", "Cf", "Zl"}
    }


async def shown(scene: Scene, task: UUID) -> asyncpg.Record:
    """Read the row that an approver reads."""
    approver = await scene.database.connect(scene.approver)
    row = await approver.fetchrow(SHOWN, task)
    assert row is not None
    return row


async def check(scene: Scene) -> None:
    """The bytes under the digest, visible, and other bytes never under it."""
    task = await ask(scene)
    row = await shown(scene, task)
    assert digest_of(json.loads(row["plan"])) == row["hashed"], "shown is not what was hashed"
    await scene.operator.execute("SELECT cancel_task($1)", task)
    claim = await scene.claimed("w2", risk_level="high", title=f"a {NASTY}")
    body: dict[str, object] = {"diff": f"+{NASTY}\n-p\u0430y()", "head": NASTY}
    plan = Plan(body, digest_of(body), Risk.HIGH, (f"path {NASTY}",) * 80)
    await scene.swarm.store.pass_gate(claim.lease, Gate.DIFF, plan)
    row = await shown(scene, claim.task.id)
    for cell in (row["title"], row["reason"], row["plan"], *row["risk_factors"]):
        assert not hidden(cell), f"obeyed or unseen: {hidden(cell)!r}"
    assert "\ufffd" in row["title"]
    assert "-p\u0430y()" in row["plan"], "the diff itself, look-alikes as they are"
    again = await scene.claimed("w3", risk_level="high")
    first = canonical(BODY).decode()
    assert await scene.swarm.store.pass_gate(
        again.lease, Gate.PLAN, Plan(BODY, digest_of(BODY), Risk.HIGH, ())
    )
    approver = await scene.database.connect(scene.approver)
    await approver.execute("SELECT approve_task($1)", again.task.id)
    later = await scene.swarm.claim_one(await scene.swarm.worker("w4"))
    worker = await scene.database.connect(scene.worker)
    assert await gate(worker, later, first, digest_of(BODY))
    other = first.replace("deploy", "pay_me")
    assert not await gate(worker, later, other, digest_of(BODY)), "other bytes under the digest"


async def test_shown_is_hashed_and_harmless(scene: Scene) -> None:
    """Control, bidi, invisible and tag characters; a carriage return; a factor."""
    await check(scene)


async def test_a_huge_title_is_refused(scene: Scene) -> None:
    """1 MB, by an approver and by the operator; a reason is cut."""
    approver = await scene.database.connect(scene.approver)
    for connection in (approver, scene.operator):
        with pytest.raises(asyncpg.PostgresError, match="title has 1000000 characters"):
            await connection.execute(
                "INSERT INTO governance_tasks (title, task_type) VALUES ($1, 'command')",
                "A" * 1_000_000,
            )
    worker = await scene.database.connect(scene.worker)
    await scene.raw_worker(worker, "raw")
    task = await scene.swarm.add(risk_level="high", task_type="test")
    await worker.execute("SELECT request_approval($1, 'raw', $2)", task, "R" * 1_000_000)
    assert 1_000 < len((await shown(scene, task))["reason"]) <= 2_000


@pytest.mark.parametrize("mutant", MUTANTS["a7"], ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one guard taken out the check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await check(scene)


@pytest.mark.parametrize("gate", [Gate.PLAN, Gate.DIFF])
async def test_nothing_that_is_hashed_is_left_out(scene: Scene, gate: Gate) -> None:
    """A body with a harmless diff and something else beside it shows both."""
    claim = await scene.claimed("w1", risk_level="critical")
    body: dict[str, object] = {"diff": "+fixes a typo", "steps": ["DROP DATABASE production"]}
    await scene.swarm.store.pass_gate(
        claim.lease, gate, Plan(body, digest_of(body), Risk.CRITICAL, ())
    )
    told = (await shown(scene, claim.task.id))["plan"]
    assert "DROP DATABASE production" in told
    assert "+fixes a typo" in told
