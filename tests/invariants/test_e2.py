"""E2: evidence is what its task type owes: typed facts of bounded size, never prose.

Default and full: one good table row and every bad one (each owed fact missing, null, empty and
in the wrong form) for each of the 9 task types, through complete_v1 and domain/evidence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import asyncpg
import pytest

from juggernaut.domain.evidence import OWED, shortcomings
from juggernaut.domain.model import Evidence, Lease, ProposedTask, WorkerId
from tests.invariants.scene import Connection, Scene, refusal

SHA, DIGEST = "b" * 40, "c" * 64
GOOD: dict[str, dict[str, object]] = {
    "code": {
        **{"pull_number": 3, "pull_url": "https://example.invalid/pull/3", "files": ["a.py"]},
        **{"head_sha": SHA, "base_sha": SHA, "merged_sha": SHA, "tests": {"passed": 1}},
    },
    "documentation": {"location": "docs/a.md", "merged_sha": SHA},
    "test": {"command": ["true"], "exit_code": 0, "passed": 3, "failed": 0, "sha": SHA},
    "verification": {"checks": [{"name": "a", "exit_code": 0}], "sha": SHA},
    "command": {"command": ["true"], "exit_code": 0, "output_digest": DIGEST},
    "research": {"sources": ["a.py"], "report_id": 0},
    "report": {"report_id": 0, "metrics_digest": DIGEST},
    "planning": {"task_ids": ["a"]},
    "strategy": {"recommendation_ids": [], "metrics_digest": DIGEST},
}
NAMED: dict[str, object] = {"report_id": 0, "task_ids": ["a"]}  # each stands for the task's own
WRONG: dict[str, tuple[object, ...]] = {
    "sha": ("Done", "b" * 39, "B" * 40, "b" * 41, 7, ["b" * 40]),
    "number": ("three", "", -1.5, [1], {"n": 1}, "1; DROP TABLE x"),
    "digest": ("Done", "c" * 63, "C" * 64, 1),
    "report_id": (10**9, "Done", -1),
}
KIND = {
    **dict.fromkeys(("head_sha", "base_sha", "merged_sha", "sha"), "sha"),
    **dict.fromkeys(("passed", "failed", "exit_code", "pull_number"), "number"),
    **dict.fromkeys(("output_digest", "metrics_digest"), "digest"),
    "report_id": "report_id",
}
RED: tuple[tuple[str, dict[str, object]], ...] = (
    ("test", {"failed": 2}),
    ("test", {"passed": 0, "failed": 0}),
    ("test", {"exit_code": 1}),
    ("command", {"exit_code": 1}),
)
FILLER = (
    "Done",
    "Task completed",
    "Completed successfully",
    "It works now. " * 40,
    "All work was carried out as the task asked for, and everything is fine with it. " * 20,
    "lorem ipsum dolor sit amet and/or consectetur adipiscing elit, sed https:// do eiusmod",
    "The suite ran: 3 passed, 9 failed; exit code 1; lint: failed; all of it is red",
)


def bad(kind: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Give every way in which the facts of a type can fall short."""
    yield "no facts", {}
    yield "prose", {"note": "Done"}
    for fact in OWED[kind]:
        good = GOOD[kind]
        yield f"{fact} missing", {k: v for k, v in good.items() if k != fact}
        yield f"{fact} null", {**good, fact: None}
        if fact != "recommendation_ids":
            yield f"{fact} empty", {**good, fact: [] if isinstance(good[fact], list) else ""}
        for value in WRONG.get(KIND.get(fact, ""), ()):
            yield f"{fact} = {value!r}", {**good, fact: value}
    yield "too large", {**GOOD[kind], "more": "x" * 70_000}


async def accepted(worker: Connection, lease: Lease, kind: str, facts: dict[str, object]) -> bool:
    """Offer facts for a task of this type, and undo it."""
    transaction = worker.transaction()
    await transaction.start()
    try:
        return bool(
            await worker.fetchval(
                "SELECT juggernaut.complete_v1($1, $2, $3, $4, $5, '[]', 's', NULL, NULL)",
                *(lease.task_id, lease.fence, lease.secret, kind, json.dumps(facts)),
            )
        )
    except asyncpg.PostgresError:
        return False
    finally:
        await transaction.rollback()


async def check_contract(scene: Scene, kind: str) -> None:
    """The good facts pass, every bad ones are refused."""
    await scene.operator.execute("SELECT grant_capability('executor', $1)", kind)
    await scene.swarm.add(task_type=kind)
    meta = {"version": "test", "pid": 1}
    session = await scene.swarm.store.open_session(WorkerId("w1"), "executor", (kind,), meta)
    (claim,) = await scene.swarm.store.claim(session, 1)
    worker, lease = await scene.database.connect(scene.worker), claim.lease
    good = dict(GOOD[kind])
    if "report_id" in good:
        good["report_id"] = await scene.swarm.store.save_report(claim.lease, "t", "b", {})
    if "task_ids" in good:
        made = (ProposedTask("a", "a", "", "command", ()),)
        good["task_ids"] = list(map(str, await scene.swarm.store.propose_tasks(claim.lease, made)))
    assert await accepted(worker, lease, kind, good), f"{kind}: good facts were refused"
    for why, facts in bad(kind):
        for fact, stands in NAMED.items():
            if fact in facts and facts[fact] == stands:
                facts = {**facts, fact: good[fact]}
        assert not await accepted(worker, lease, kind, facts), f"{kind}: {why} was accepted"


async def check_filler(scene: Scene, kind: str) -> None:
    """Prose of any length completes no task by plain SQL."""
    await scene.operator.execute("SELECT grant_capability('executor', $1)", kind)
    worker = await scene.database.connect(scene.worker)
    task = await scene.swarm.add(task_type=kind)
    await scene.raw_worker(worker, "raw")
    await scene.raw_claim(worker, task, "raw")
    for said in FILLER:
        why = await refusal(
            worker,
            "UPDATE governance_tasks SET status = 'completed', completed_at = NOW(),"
            " completion_evidence = $2 WHERE id = $1",
            task,
            said,
        )
        assert why is not None, f"{kind}: {said[:60]!r} was taken for evidence"


async def check_red(scene: Scene) -> None:
    """Typed facts that prove the opposite prove nothing."""
    worker = await scene.database.connect(scene.worker)
    for number, (kind, facts) in enumerate(RED):
        lease = (await scene.claimed(f"w{number}", task_type=kind)).lease
        found = await accepted(worker, lease, kind, {**GOOD[kind], **facts})
        assert not found, f"{kind}: {facts} was accepted"
        await scene.swarm.store.fail(lease, "x", "y", retry_after=None)


@pytest.mark.parametrize("kind", sorted(GOOD))
async def test_filler_completes_nothing(scene: Scene, kind: str) -> None:
    """Six texts that say nothing, up to 1,600 characters long, and one that says it is red."""
    await check_filler(scene, kind)


async def test_red_facts_complete_nothing(scene: Scene) -> None:
    """Failed tests, a command that broke, no test at all."""
    await check_red(scene)


@pytest.mark.parametrize("kind", sorted(GOOD))
async def test_the_database_knows_the_contract(scene: Scene, kind: str) -> None:
    """One task, its lease, and every table row of its type."""
    await check_contract(scene, kind)


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_the_program_knows_it_too(kind: str) -> None:
    """What is missing is named before the database is asked."""
    assert shortcomings(Evidence(kind, GOOD[kind])) == ()
    for fact in OWED[kind]:
        short = {k: v for k, v in GOOD[kind].items() if k != fact}
        assert any(fact in line for line in shortcomings(Evidence(kind, short)))


async def test_the_table_is_whole(scene: Scene) -> None:
    """Every task type of the database has its row here."""
    rows = await scene.operator.fetch("SELECT task_type, required_facts FROM juggernaut.task_types")
    assert {row["task_type"]: set(row["required_facts"]) for row in rows} == {
        kind: set(owed) for kind, owed in OWED.items()
    }
    assert set(GOOD) == set(OWED)
