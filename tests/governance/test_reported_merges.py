"""A merge that a plain-SQL worker reports is confirmed by the forge and verified by the daemon."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.model import Json, Sha
from juggernaut.domain.pulls import Pull
from juggernaut.lifecycle.settle import confirm_merges
from tests.fixtures_postgres import Database, Login
from tests.governance.plain_sql import NAME, PlainWorker
from tests.roles.bench import BAD_SLUG, CRITERIA, GOOD_SLUG, Approver, Bench


async def open_pull(bench: Bench, task: UUID, files: dict[str, str]) -> Pull:
    """Push a branch of the task and propose it, as somebody would who has no daemon."""
    branch = f"feature/{task}"
    bench.origin.push(branch, files)
    return await bench.by_hand.open_pull(bench.origin.name, branch, "By hand", "By hand.")


async def merge_by_hand(bench: Bench, task: UUID, files: dict[str, str]) -> Pull:
    """Push, propose and merge, without any daemon."""
    forge = bench.by_hand
    pull = await open_pull(bench, task, files)
    await forge.post_check(bench.origin.name, pull.head_sha, "juggernaut/verify", True, "fine")
    return await forge.merge(
        bench.origin.name, pull.number, Sha(pull.head_sha), "By hand", "By hand."
    )


async def asked(bench: Bench) -> Json:
    """Let the executor's duty ask the forge."""
    return await confirm_merges(bench.services)


async def hurry(bench: Bench) -> None:
    """Let reported merges be overdue at once."""
    await bench.operator.execute(
        "UPDATE juggernaut.thresholds SET value = 0 WHERE name = 'merge_confirm_seconds'"
    )


async def test_a_reported_merge_is_verified_by_the_daemon(bench: Bench, plain: PlainWorker) -> None:
    """The evidence is the verifier's, about the merged commit; who reported it is named in it."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    pull = await merge_by_hand(bench, task, {"slug.py": GOOD_SLUG})
    await plain.report_merge(task)
    assert (await bench.task(task))["status"] == "awaiting_merge"
    assert await bench.claim("executor") is None, "nothing to do, and no slot held"
    assert (await asked(bench))["found"] == 1
    row = await bench.task(task)
    assert (row["status"], row["evidence_id"], row["attempts"]) == ("pending", None, 0)
    assert await bench.work("executor") == "completed"
    facts = await bench.facts(task)
    assert facts["pull_number"] == pull.number
    assert facts["merged_sha"] == facts["verified_sha"] == pull.merged_sha
    assert facts["files"] == ["slug.py"]
    assert facts["base_sha"] == bench.origin.log("main")[1]
    agent = facts["agent"]
    assert isinstance(agent, dict)
    assert (agent["name"], agent["worker"]) == ("plain SQL", NAME)
    sources = await bench.rows("SELECT source FROM proof")
    assert [row["source"] for row in sources] == ["verifier"]
    assert await bench.rows("SELECT * FROM law_violations") == []
    assert await asked(bench) == {"asked": 0, "found": 0, "blocked": 0, "unanswered": 0}


async def test_a_bad_merge_fails_and_writes_no_second_pull_request(
    bench: Bench, plain: PlainWorker
) -> None:
    """What was merged is judged at its commit; the agent is not asked to write another one."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, max_attempts=1)
    await merge_by_hand(bench, task, {"slug.py": BAD_SLUG})
    await plain.report_merge(task)
    await asked(bench)
    assert await bench.work("executor") == "failed"
    assert "merged already" in (await bench.task(task))["error_message"]
    assert len(await bench.rows("SELECT * FROM juggernaut.pull_requests")) == 1


async def test_a_closed_pull_request_fails_the_task(bench: Bench, plain: PlainWorker) -> None:
    """Closed without a merge is an answer."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    await open_pull(bench, task, {"slug.py": GOOD_SLUG})
    await bench.operator.execute("UPDATE juggernaut.pull_requests SET state = 'closed'")
    await plain.report_merge(task)
    await asked(bench)
    assert await bench.work("executor") == "failed"
    assert "closed without a merge" in (await bench.task(task))["error_message"]


@pytest.mark.parametrize(("proposed", "reason"), [(False, "no pull request"), (True, "is open")])
async def test_a_merge_that_the_forge_never_shows_is_blocked(
    bench: Bench, plain: PlainWorker, proposed: bool, reason: str
) -> None:
    """Until the threshold it waits with a deadline; after it a person is asked."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    if proposed:
        await open_pull(bench, task, {"slug.py": GOOD_SLUG})
    await plain.report_merge(task)
    assert (await asked(bench))["blocked"] == 0
    why = (await bench.rows("SELECT * FROM why($1)", task))[0]
    assert NAME in why["reason"]
    assert why["deadline"] is not None
    await hurry(bench)
    assert (await asked(bench))["blocked"] == 1
    row = await bench.task(task)
    assert row["status"] == "blocked"
    assert reason in row["blocked_reason"]
    assert "a person" in row["blocked_owner"]
    await bench.approver.execute("SELECT retry_task($1)", task)
    assert await bench.work("executor") == "completed", "the swarm does it after all"


async def test_a_merge_that_needs_a_decision_gets_it_afterwards(
    bench: Bench, plain: PlainWorker, second: Approver
) -> None:
    """A merged change of a protected path is completed only when people said yes to it."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    await merge_by_hand(bench, task, {"slug.py": GOOD_SLUG, "conftest.py": "X = 1\n"})
    await plain.report_merge(task)
    await asked(bench)
    assert await bench.work("executor") == "parked"
    assert (await bench.task(task))["risk_level"] == "high"
    await bench.approve(task)
    # The plan of a task that is high now needs its own decision.
    while await bench.work("executor") == "parked":
        await bench.approve(task)
    assert (await bench.task(task))["status"] == "completed"
    assert await bench.rows("SELECT * FROM law_violations") == []


async def test_a_false_answer_only_makes_the_daemon_look(
    bench: Bench, plain: PlainWorker, database: Database, worker_login: Login
) -> None:
    """A worker's login that lies about the forge completes nothing: the forge has the last word."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    await plain.report_merge(task)
    fence = (await bench.task(task))["fence"]
    lie = "SELECT juggernaut.confirm_merge_v1($1, $2, 'merged', 'trust me')"
    liar = await database.connect(worker_login)
    assert await liar.fetchval(lie, task, fence) == "pending"
    with pytest.raises(asyncpg.PostgresError, match="waits for the verifier"):
        await plain.claim(task)
    assert await bench.work("executor") == "parked"
    row = await bench.task(task)
    assert row["status"] == "blocked"
    assert "no pull request" in row["blocked_reason"]


async def test_a_reported_merge_can_be_cancelled(bench: Bench, plain: PlainWorker) -> None:
    """A person's cancel ends it; what was said stays as it was said."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    await plain.report_merge(task)
    await bench.approver.execute("SELECT cancel_task($1, 'no')", task)
    assert (await bench.task(task))["status"] == "cancelled"
    assert (await asked(bench))["asked"] == 0
    said = await bench.rows("SELECT source FROM juggernaut.evidence")
    assert [row["source"] for row in said] == ["self-reported"]
