"""What was written for an earlier text of a task is neither merged nor counted as the new one."""

from __future__ import annotations

from uuid import UUID

import pytest

from juggernaut.adapters.forges import git
from tests.fakes.puppets import PuppetAgent
from tests.flow.pull_people import CI, LocalPeople, look_now, parked, people
from tests.governance.conftest import plain
from tests.governance.plain_sql import PlainWorker
from tests.governance.test_reported_merges import asked, merge_by_hand
from tests.roles.bench import CRITERIA, GOOD_SLUG, Bench
from tests.roles.conftest import bench

__all__ = ["bench", "people", "plain"]

ONE_SECOND = {"GIT_AUTHOR_DATE": "@1700000000 +0000", "GIT_COMMITTER_DATE": "@1700000000 +0000"}
EARLIER = "merged for an earlier text"
REWORD = "UPDATE governance_tasks SET title = $2, description = $2 WHERE id = $1"
BLUE, RED = "paint it blue", "red, and never blue"


def painter(bench: Bench) -> PuppetAgent:
    """Let the agent paint blue first, and then red."""
    agent = PuppetAgent({"slug.py": GOOD_SLUG + "# blue\n"}, {"slug.py": GOOD_SLUG + "# red\n"})
    bench.use(agent=agent)
    return agent


async def blue(bench: Bench, people: LocalPeople, **columns: object) -> UUID:
    """A blue draft that waits for the CI."""
    await people.protect([CI])
    return await parked(bench, title=BLUE, description=BLUE, **columns)


async def reworded(bench: Bench, task: UUID, text: str = RED) -> str:
    """Change the text as a person would; gives the status that follows."""
    await bench.operator.execute(REWORD, task, text)
    return str((await bench.task(task))["status"])


async def is_blocked(bench: Bench, task: UUID) -> None:
    """A person is told why, and how it goes on; nothing proves the task."""
    row = await bench.task(task)
    assert (row["status"], row["evidence_id"]) == ("blocked", None)
    assert EARLIER in row["blocked_reason"]
    assert f"SELECT cancel_task('{task}'" in row["blocked_owner"]
    assert await bench.rows("SELECT * FROM proof") == []
    assert await bench.rows("SELECT * FROM law_violations") == []


@pytest.mark.parametrize("held", [False, True])
async def test_an_open_draft_is_written_anew(bench: Bench, people: LocalPeople, held: bool) -> None:
    """Whether it waits at the forge or an attempt holds it; bookkeeping before that is no edit."""
    agent = painter(bench)
    task = await blue(bench, people)
    await bench.operator.execute(
        "UPDATE governance_tasks SET priority = 'high' WHERE id = $1", task
    )
    assert (await bench.task(task))["status"] == "awaiting_merge"
    await people.ci(task, CI, passed=True)
    if held:
        await look_now(bench)
        assert await bench.claim("executor") is not None
    assert await reworded(bench, task) == "pending"
    assert await bench.work("executor") == "parked", "the new commit waits for the CI again"
    assert RED in agent.requests[1].prompt
    await people.ci(task, CI, passed=True)
    assert (await look_now(bench))["woken"] == 1
    assert await bench.work("executor") == "completed"
    assert "# red" in bench.origin.show("main:slug.py")
    assert len(await bench.rows("SELECT * FROM juggernaut.pull_requests")) == 1


async def test_a_new_plan_that_is_approved_is_carried_out(
    bench: Bench, people: LocalPeople
) -> None:
    """High work: people approve red, and red is written."""
    agent = painter(bench)
    await people.protect([CI])
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, title=BLUE, risk_level="high")
    for _ in range(2):
        assert await bench.work("executor") == "parked"
        if (await bench.task(task))["status"] == "waiting_approval":
            await bench.approve(task)
    assert await reworded(bench, task) == "pending"
    assert await bench.work("executor") == "parked"
    await bench.approve(task)
    assert await bench.work("executor") == "parked"
    assert len(agent.requests) == 2
    assert "# red" in bench.origin.show(f"feature/{task}:slug.py")


async def test_a_merge_of_the_old_text_waits_for_a_person(
    bench: Bench, people: LocalPeople
) -> None:
    """With its words written back as they were, it counts as what it is."""
    painter(bench)
    task = await blue(bench, people)
    await people.ci(task, CI, passed=True)
    await people.merge(task)
    assert await reworded(bench, task) == "pending"
    assert await bench.work("executor") == "parked"
    await is_blocked(bench, task)
    await bench.approver.execute("SELECT retry_task($1)", task)
    assert await bench.work("executor") == "parked"
    await is_blocked(bench, task)
    assert await reworded(bench, task, BLUE) == "blocked"
    await bench.approver.execute("SELECT retry_task($1)", task)
    assert await bench.work("executor") == "completed"


@pytest.mark.parametrize("when", ["reported", "held", "asked"])
async def test_a_reported_merge_of_the_old_text_proves_nothing(
    bench: Bench, plain: PlainWorker, when: str
) -> None:
    """Whenever the edit comes; and what follows does not count it either."""
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, title=BLUE, description=BLUE)
    await merge_by_hand(bench, task, {"slug.py": GOOD_SLUG})
    await plain.report_merge(task)
    if when != "reported":
        await asked(bench)
    if when == "asked":
        await bench.operator.execute(
            "UPDATE governance_tasks SET risk_level = 'high' WHERE id = $1", task
        )
        assert await bench.work("executor") == "parked"
        await bench.approver.execute("SELECT send_back($1, 'say more')", task)
        assert (await bench.task(task))["status"] == "pending", "feedback is no other text"
        assert await bench.work("executor") == "parked"
        assert (await bench.task(task))["status"] == "waiting_approval"
    if when == "held":
        assert await bench.claim("executor") is not None
    assert await reworded(bench, task) == "blocked"
    await is_blocked(bench, task)
    await bench.approver.execute("SELECT retry_task($1)", task)
    assert await bench.work("executor") == "parked"
    row = await bench.task(task)
    assert row["status"] == "blocked"
    assert "write the words of then back" in row["blocked_owner"]
    assert await reworded(bench, task, BLUE) == "blocked"
    await bench.approver.execute("SELECT retry_task($1)", task)
    while await bench.work("executor") == "parked":
        await bench.approve(task)
    assert (await bench.task(task))["status"] == "completed"
    assert await bench.rows("SELECT * FROM juggernaut.reported_texts") == []


@pytest.mark.parametrize("edited", [None, "before", "after"])
async def test_a_draft_of_before_digests(
    bench: Bench, people: LocalPeople, edited: str | None
) -> None:
    """It goes on where nobody changed the task since, and is written anew where somebody did."""
    agent = painter(bench)
    await people.protect([CI])
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, title=RED)
    if edited == "before":
        await reworded(bench, task, BLUE)
    assert await bench.work("executor") == "parked"
    await forget_texts(bench)
    await people.ci(task, CI, passed=True)
    if edited == "after":
        assert await reworded(bench, task) == "pending"
    else:
        await look_now(bench)
    assert await bench.work("executor") == ("parked" if edited == "after" else "completed")
    assert len(agent.requests) == 1 + (edited == "after")


async def test_a_merge_of_before_digests_names_what_helps(
    bench: Bench, people: LocalPeople
) -> None:
    """Nobody can say which words it was written for, so writing them back is not advised.

    The same login edits before and after the draft: the newest edit counts.
    """
    painter(bench)
    await people.protect([CI])
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, title=RED)
    await reworded(bench, task, BLUE)
    assert await bench.work("executor") == "parked"
    await forget_texts(bench)
    await people.ci(task, CI, passed=True)
    await people.merge(task)
    assert await reworded(bench, task) == "pending"
    assert await bench.work("executor") == "parked"
    await is_blocked(bench, task)
    assert "retry_task" not in (await bench.task(task))["blocked_owner"]


async def test_one_commit_may_answer_two_texts(
    bench: Bench, people: LocalPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits alike of one second are one commit; it is not dropped and written a third time."""
    opened = git._opened
    monkeypatch.setattr(git, "_opened", lambda env, access: {**opened(env, access), **ONE_SECOND})
    agent = PuppetAgent({"slug.py": GOOD_SLUG})
    bench.use(agent=agent)
    await people.protect([CI])
    task = await parked(bench)
    await bench.operator.execute(
        "UPDATE governance_tasks SET description = $2 WHERE id = $1", task, BLUE
    )
    assert await bench.work("executor") == "parked"
    await people.ci(task, CI, passed=True)
    await look_now(bench)
    assert await bench.work("executor") == "completed"
    assert len(agent.requests) == 1 + 1


async def forget_texts(bench: Bench) -> None:
    """Let the ledger be the one of a version that kept no digest of what was asked."""
    await bench.operator.execute(
        "UPDATE juggernaut.effects SET result = result - 'asked' WHERE kind = 'push'"
    )
