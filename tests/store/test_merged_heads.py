"""What ends risky work that owes a merge: the diff that was approved, as it was merged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from juggernaut.adapters.postgres import queries, records
from juggernaut.domain.errors import JuggernautError, LawRefused
from juggernaut.domain.model import Claim, Digest, Evidence, Gate, Plan, Risk, Session
from tests.fixtures_postgres import Database, Login, fresh_login
from tests.invariants.scene import Connection
from tests.store.swarm import Swarm, command_completion, open_swarm, plan

HEAD, OTHER, BASE, MERGED = ("a" * 40, "b" * 40, "c" * 40, "e" * 40)
FOREIGN = "was not approved"


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


@pytest.fixture
async def people(database: Database) -> AsyncIterator[Sequence[Connection]]:
    """Two approvers, who stay: the decision of a login that is gone does not count."""
    async with (
        fresh_login(database, "juggernaut_approver") as one,
        fresh_login(database, "juggernaut_approver") as two,
    ):
        yield [await database.connect(one), await database.connect(two)]


async def complete(
    swarm: Swarm, claim: Claim, head: str, merged: str = MERGED, many: bool = False
) -> bool:
    """Complete a code task as merged with this head; an error of the law comes out."""
    facts: dict[str, object] = {
        **{"pull_number": 1, "pull_url": "https://forge.example.invalid/pull/1"},
        **{"head_sha": head, "base_sha": BASE, "merged_sha": merged},
        **{"files": ["a.py"], "tests": {"passed": 1}, "location": "docs/a.md"},
    }
    kind = claim.task.task_type
    done = replace(command_completion(), evidence=Evidence(kind, facts))
    if not many:
        return await swarm.store.complete(claim.lease, done)
    items = [records.completion_json(claim.lease, done)]
    try:
        return bool((await queries.fetch(swarm.pool, "complete_batch", items))[0]["landed"])
    except JuggernautError as error:
        raise LawRefused(str(error)) from error


def diff(head: str, risk: Risk) -> Plan:
    """A diff of this head, as the gate takes it."""
    return Plan({"diff": "x", "head": head}, Digest(head[0] * 64), risk, ("test",))


async def decided(
    swarm: Swarm, people: Sequence[Connection], session: Session, gate: Gate, what: Plan, many: int
) -> Claim:
    """Ask at a gate, have so many people approve, and claim again."""
    claim = await swarm.claim_one(session)
    await swarm.store.pass_gate(claim.lease, gate, what)
    for approver in people[:many]:
        await approver.execute("SELECT approve_task($1)", claim.task.id)
    return await swarm.claim_one(session)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("kind", ["code", "documentation"])
async def test_critical_work_ends_with_the_head_that_was_approved(
    swarm: Swarm, people: Sequence[Connection], kind: str, many: bool
) -> None:
    """Another head does not end it, and neither does the approval of a plan alone."""
    await swarm.add(task_type=kind, risk_level="critical")
    session = await swarm.worker()
    first = await decided(swarm, people, session, Gate.PLAN, plan(risk=Risk.CRITICAL), 2)
    with pytest.raises(LawRefused, match=FOREIGN):
        await complete(swarm, first, HEAD, many=many)
    await swarm.store.release(first.lease, "again")
    claim = await decided(swarm, people, session, Gate.DIFF, diff(HEAD, Risk.CRITICAL), 2)
    with pytest.raises(LawRefused, match=FOREIGN):
        await complete(swarm, claim, OTHER, many=many)
    assert await complete(swarm, claim, HEAD, many=many)


async def test_a_diff_that_is_high_by_itself_is_the_one_that_ends_it(
    swarm: Swarm, people: Sequence[Connection]
) -> None:
    """Where no plan was approved, or this attempt showed another diff."""
    await swarm.add(task_type="code")
    session = await swarm.worker()
    claim = await decided(swarm, people, session, Gate.DIFF, diff(HEAD, Risk.HIGH), 1)
    with pytest.raises(LawRefused, match=FOREIGN):
        await complete(swarm, claim, OTHER)
    assert await complete(swarm, claim, HEAD)


async def test_an_approved_plan_covers_a_diff_that_is_not_high(
    swarm: Swarm, people: Sequence[Connection]
) -> None:
    """A draft after the one that was high needs no approval of its own, as at its merge."""
    await swarm.add(task_type="code", risk_level="high")
    session = await swarm.worker()
    first = await decided(swarm, people, session, Gate.PLAN, plan(risk=Risk.HIGH), 1)
    await swarm.store.release(first.lease, "again")
    high = await decided(swarm, people, session, Gate.DIFF, diff(HEAD, Risk.HIGH), 1)
    decision = await swarm.store.pass_gate(high.lease, Gate.DIFF, diff(HEAD, Risk.HIGH))
    assert decision is not None
    assert decision.go
    with pytest.raises(LawRefused, match=FOREIGN):
        await complete(swarm, high, OTHER)  # this attempt showed another one
    await swarm.store.release(high.lease, "again")
    assert await complete(swarm, await swarm.claim_one(session), OTHER)


async def test_the_merge_is_the_one_in_the_ledger(
    swarm: Swarm, people: Sequence[Connection]
) -> None:
    """Where one was written down, evidence names its commit, and the head that became it."""
    await swarm.add(task_type="code", risk_level="high")
    session = await swarm.worker()
    claim = await decided(swarm, people, session, Gate.PLAN, plan(risk=Risk.HIGH), 1)
    effect = await swarm.store.intend(claim.lease, "merge", f"1@{HEAD}", {"expected": HEAD})
    assert effect is not None
    assert await swarm.store.confirm(claim.lease, effect.id, {"merged_sha": MERGED})
    for head, merged in ((HEAD, OTHER), (OTHER, MERGED)):
        with pytest.raises(LawRefused, match="was not merged as"):
            await complete(swarm, claim, head, merged)
    assert await complete(swarm, claim, HEAD)
