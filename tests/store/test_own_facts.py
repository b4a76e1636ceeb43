"""Facts that name rows name those of their own task; a goal whose plan made nothing is heard of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest

from juggernaut.adapters.postgres import queries, records
from juggernaut.domain.errors import JuggernautError, LawRefused
from juggernaut.domain.model import Claim, Completion, Evidence, ProposedTask
from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm, command_completion, open_swarm

DIGEST = "0" * 64
OTHERS = [
    ("planning", "task_ids"),
    ("research", "report_id"),
    ("report", "report_id"),
    ("strategy", "recommendation_ids"),
]
ROLE = {"planning": "orchestrator", "strategy": "strategist"}


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


async def made_by(swarm: Swarm, claim: Claim, fact: str) -> object:
    """Let a task make what this fact names."""
    if fact == "task_ids":
        proposed = (ProposedTask("a", "a", "", "command", ()),)
        return [str(one) for one in await swarm.store.propose_tasks(claim.lease, proposed)]
    if fact == "report_id":
        return await swarm.store.save_report(claim.lease, "t", "b", {})
    rows = await swarm.pool.fetch(
        "SELECT juggernaut.save_recommendations_v1($1, $2, $3, $4)",
        *(claim.lease.task_id, claim.lease.fence, claim.lease.secret),
        [{"kind": "risk", "title": "t", "rationale": "r"}],
    )
    return [row[0] for row in rows]


def done(kind: str, **facts: object) -> Completion:
    """A completion of this type, with these facts and the others that it owes."""
    owed: dict[str, dict[str, object]] = {
        "research": {"sources": ["a.py"]},
        "report": {"metrics_digest": DIGEST},
        "strategy": {"metrics_digest": DIGEST},
    }
    return replace(command_completion(), evidence=Evidence(kind, {**owed.get(kind, {}), **facts}))


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(("kind", "fact"), OTHERS)
async def test_what_another_task_made_proves_nothing(
    swarm: Swarm, kind: str, fact: str, many: bool
) -> None:
    """Alone and in a batch: own rows complete, those of another task do not."""
    tasks = [await swarm.add(task_type=kind) for _ in range(2)]
    session = await swarm.worker("w", ROLE.get(kind, "analyst"))
    mine, other = await swarm.store.claim(session, 2)
    own, foreign = await made_by(swarm, mine, fact), await made_by(swarm, other, fact)
    mixed = [*own, *foreign] if isinstance(own, list) and isinstance(foreign, list) else foreign
    for lie in (foreign, mixed):
        with pytest.raises(LawRefused, match=f"its {fact} names what is not of this task"):
            await complete(swarm, mine, done(kind, **{fact: lie}), many)
    assert await complete(swarm, mine, done(kind, **{fact: own}), many)
    assert sorted([await swarm.status(task) for task in tasks]) == ["completed", "in_progress"]


async def complete(swarm: Swarm, claim: Claim, completion: Completion, many: bool) -> bool:
    """Complete by the function for one task, or by that for many."""
    if not many:
        return await swarm.store.complete(claim.lease, completion)
    items = [records.completion_json(claim.lease, completion)]
    try:
        return bool((await queries.fetch(swarm.pool, "complete_batch", items))[0]["landed"])
    except JuggernautError as error:
        raise LawRefused(str(error)) from error


async def test_a_plan_without_tasks_is_one_that_failed(swarm: Swarm) -> None:
    """The goal is planned once more, and then it fails with the reason."""
    goal: UUID = await swarm.operator.fetchval("SELECT add_goal('g')")
    orchestrator = await swarm.worker("o", "orchestrator")
    await swarm.operator.execute("ALTER TABLE governance_tasks DISABLE TRIGGER guard_words_end")
    for counted in ("replanned", "failed"):
        claim = await swarm.claim_one(orchestrator)
        assert await swarm.store.complete(claim.lease, done("planning", task_ids=["none"]))
        assert (await swarm.store.settle_goals())[counted] == 1
    row = await swarm.operator.fetchrow("SELECT status, outcome FROM goals WHERE id = $1", goal)
    assert row is not None
    assert row["status"] == "failed"
    assert "the plan has no tasks" in row["outcome"]
