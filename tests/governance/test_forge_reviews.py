"""An approving review at the forge counts as an approval only where an operator opted in."""

from __future__ import annotations

import asyncpg
import pytest

from juggernaut.domain.model import Sha, TaskId
from tests.fakes.puppets import PuppetAgent
from tests.flow.pull_people import LocalPeople, look_now
from tests.governance.conftest import bench
from tests.roles.bench import CRITERIA, GOOD_SLUG, Bench

__all__ = ["bench"]


async def at_the_diff_gate(bench: Bench) -> TaskId:
    """Bring a task that changes a protected path to its second gate."""
    bench.use(agent=PuppetAgent({"conftest.py": "# quiet\n", "slug.py": GOOD_SLUG}))
    task = TaskId(await bench.add_task("code", acceptance_criteria=CRITERIA))
    assert await bench.work("executor") == "parked"
    waiting = (await bench.rows("SELECT gate FROM pending_approvals"))[0]
    assert waiting["gate"] == "diff"
    return task


async def approver_of(bench: Bench) -> str:
    """Give the login of the bench's approver."""
    name: str = await bench.approver.fetchval("SELECT session_user")
    return name


async def test_a_workers_word_is_no_approval(bench: Bench) -> None:
    """By default an invented review changes nothing, mapped or not, and workers map nobody."""
    task = await at_the_diff_gate(bench)
    login, store = await approver_of(bench), bench.services.store
    await bench.operator.execute("SELECT map_forge_login('ada', $1, 'local')", login)
    head = (await LocalPeople(bench).pull(task)).head_sha
    assert await store.report_review(task, "local", "ada", head, "1") == "off"
    assert (await bench.task(task))["status"] == "waiting_approval"
    with pytest.raises(asyncpg.PostgresError):
        await bench.approver.execute("SELECT map_forge_login('eve', $1)", login)
    await bench.operator.execute(
        "UPDATE juggernaut.thresholds SET value = 1 WHERE name = 'forge_reviews_approve'"
    )
    for author, sha in (("eve", head), ("ada", Sha("ab" * 20))):
        assert await store.report_review(task, "local", author, sha, "1") == "no"
    assert (await bench.task(task))["status"] == "waiting_approval"


async def test_a_mapped_review_of_this_head_opens_the_gate(bench: Bench) -> None:
    """Opted in: the duty reports it, the mapped login is who approved, and the merge goes on."""
    task = await at_the_diff_gate(bench)
    login, people = await approver_of(bench), LocalPeople(bench)
    await bench.operator.execute("SELECT map_forge_login($1, $1, 'local')", login)
    await bench.operator.execute(
        "UPDATE juggernaut.thresholds SET value = 1 WHERE name = 'forge_reviews_approve'"
    )
    assert (await look_now(bench))["woken"] == 0
    await people.review(task, "approved", "good")
    assert (await look_now(bench))["woken"] == 1
    decided = (await bench.rows("SELECT decided_by, note FROM juggernaut.decisions"))[0]
    assert decided["decided_by"] == login
    assert "reported by" in decided["note"]
    assert await bench.work("executor") == "completed"
    assert await bench.rows("SELECT * FROM law_violations") == []
