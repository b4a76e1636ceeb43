"""Many tasks of one repository: they merge one at a time, and share files out."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from juggernaut.domain.agents import Capabilities, Tell, silent
from juggernaut.domain.exchange import AgentRequest, AgentResult
from juggernaut.ports import Asker, Sandbox
from tests.fakes.puppets import PuppetAgent
from tests.flow.pull_people import CI, LocalPeople, look_now, parked, people, why, woken
from tests.roles.bench import CRITERIA, GOOD_SLUG, Bench
from tests.roles.conftest import bench

__all__ = ["bench", "people"]

NICER = GOOD_SLUG + "# nicer\n"


class Adder:
    """An agent that adds one line to the end of slug.py, and takes both sides of a conflict."""

    def __init__(self) -> None:
        """Count how often it was asked."""
        self.asked = 0

    @property
    def name(self) -> str:
        """Give the name of the agent."""
        return "adder"

    @property
    def capabilities(self) -> Capabilities:
        """Give what it can do: nothing special."""
        return Capabilities()

    async def execute(
        self, request: AgentRequest, ask: Asker, sandbox: Sandbox, tell: Tell = silent
    ) -> AgentResult:
        """Add the line that the task's title names."""
        self.asked += 1
        found = re.search(r"Add (x\d)", request.prompt)
        assert found is not None
        path = Path(request.worktree, "slug.py")
        marks = ("<<<<<<<", "=======", ">>>>>>>")
        lines = [row for row in path.read_text().splitlines() if not row.startswith(marks)]
        if f"# {found[1]}" not in lines:
            lines.append(f"# {found[1]}")
        path.write_text("\n".join(lines) + "\n")
        return AgentResult(True, "Added.", 4, 3, "")


async def settled(bench: Bench, people: LocalPeople, tasks: Sequence[UUID], rounds: int) -> None:
    """Let CI be green wherever something waits, look, and work, until nothing is left to do."""
    for _ in range(rounds):
        rows = [await bench.task(task) for task in tasks]
        if all(row["status"] in ("completed", "failed", "blocked") for row in rows):
            return
        for row in rows:
            if row["status"] == "awaiting_merge":
                await people.ci(row["id"], CI, passed=True)
        await look_now(bench)
        while (found := await bench.claim("executor")) is not None:
            await bench.attempt("executor", found)


@pytest.mark.timeout(60)
async def test_three_tasks_of_one_file_merge_one_after_the_other(
    bench: Bench, people: LocalPeople
) -> None:
    """Each is verified on what the one before it merged, and every line arrives."""
    bench.origin.push("main", {"slug.py": GOOD_SLUG})
    agent = Adder()
    bench.use(agent=agent)
    await people.protect([CI])
    tasks = [await parked(bench, title=f"Add x{number}") for number in range(3)]
    for task in tasks:
        await people.ci(task, CI, passed=True)
    assert (await look_now(bench))["woken"] == len(tasks)
    claims = [await bench.claim("executor") for _ in tasks]
    words = await asyncio.gather(*(bench.attempt("executor", found) for found in claims if found))
    assert sorted(words) == ["completed", "parked", "parked"], "one turn at a time"
    await settled(bench, people, tasks, rounds=8)
    rows = [await bench.task(task) for task in tasks]
    assert [row["status"] for row in rows] == ["completed"] * 3, [tuple(row) for row in rows]
    assert all(row["attempts"] == 1 for row in rows), "waiting is not counted"
    text = bench.origin.show("main:slug.py")
    assert all(f"# x{number}" in text for number in range(3))
    merges = bench.origin.log("main")
    facts = [await bench.facts(task) for task in tasks]
    assert {fact["base_sha"] for fact in facts} == set(merges[1:4]), "each on the one before it"
    assert agent.asked == 3 + 2, "two of the three had a conflict to mend"


async def test_the_one_that_is_red_on_the_new_base_goes_back_alone(
    bench: Bench, people: LocalPeople
) -> None:
    """Green on its own base and red on the newest: it is mended, and the others went on."""
    await people.protect([CI])
    extra = "def dash() -> str:\n    return '-'\n"
    uses = "from other import dash\n\n" + GOOD_SLUG.replace('"-"', "dash()")
    bench.origin.push("main", {"other.py": extra})
    agent = PuppetAgent({"slug.py": uses}, {"other.py": None, "note.txt": "gone\n"})
    bench.use(agent=agent)
    culprit = await parked(bench, title="Use the helper")
    # Somebody takes the helper away meanwhile: no conflict, and red.
    bench.origin.push("main", {"other.py": "# nothing here\n"}, start="origin/main")
    bench.use(agent=PuppetAgent({"slug.py": GOOD_SLUG}))
    await people.ci(culprit, CI, passed=True)
    assert await woken(bench) == "parked"
    logs = await bench.rows("SELECT action FROM execution_logs WHERE task_id = $1", culprit)
    actions = [row["action"] for row in logs]
    assert "train_replayed" in actions
    assert "sent_back" in actions
    assert await bench.rows("SELECT * FROM juggernaut.trains WHERE task_id IS NOT NULL") == []
    await people.ci(culprit, CI, passed=True)
    assert await woken(bench) == "completed"
    assert "dash" not in bench.origin.show("main:slug.py")


async def test_a_dead_holder_of_the_turn_does_not_stop_the_train(
    bench: Bench, people: LocalPeople
) -> None:
    """A kill -9 with the turn: the sweep takes the task back, and its turn is free."""
    await people.protect([CI])
    bench.origin.push("main", {"slug.py": GOOD_SLUG})
    bench.use(agent=Adder())
    holder = await parked(bench, title="Add x0")
    other = await parked(bench, title="Add x1")
    await people.ci(holder, CI, passed=True)
    assert (await look_now(bench))["woken"] == 1
    found = await bench.claim("executor")
    assert found is not None
    store = bench.services.store
    taken = await store.take_turn(found.lease, bench.origin.name)
    assert taken is not None
    assert taken["holder"] == holder
    await people.ci(other, CI, passed=True)
    assert await woken(bench) == "parked"
    assert "has the turn to merge" in (await why(bench, other))["reason"]
    assert (await look_now(bench))["woken"] == 0, "it is not its turn"
    # A kill -9 leaves the session to run out; an operator's clock does that here.
    await bench.operator.execute("UPDATE juggernaut.sessions SET expires_at = now()")
    bench.sessions.clear()
    await store.sweep()
    assert (await bench.task(holder))["status"] == "pending"
    await look_now(bench)
    await settled(bench, people, [other], rounds=4)
    assert (await bench.task(other))["status"] == "completed"


async def test_tasks_with_the_same_files_do_not_start_together(
    bench: Bench, people: LocalPeople
) -> None:
    """The second is put off, uncounted, and says for whom; a task of other files goes on."""
    # Tasks of one millisecond and one priority are claimed in any order.
    first = await bench.add_task(
        "code", acceptance_criteria=CRITERIA, payload={"files": ["slug.py"]}, priority="critical"
    )
    second = await bench.add_task(
        "code", acceptance_criteria=CRITERIA, payload={"files": ["slug*"]}, priority="high"
    )
    other = await bench.add_task(
        "code", acceptance_criteria=CRITERIA, payload={"files": ["docs/**"]}
    )
    claims = [await bench.claim("executor") for _ in range(3)]
    begun: list[bool] = []
    for found in claims:
        assert found is not None
        files = found.task.payload["files"]
        assert isinstance(files, list)
        decision = await bench.services.store.begin_files(found.lease, bench.origin.name, files)
        assert decision is not None
        begun.append(decision.go)
    assert begun == [True, False, True]
    row = await bench.task(second)
    assert (row["status"], row["attempts"]) == ("pending", 0)
    told = await why(bench, second)
    assert str(first) in told["reason"]
    assert "same files" in told["reason"]
    assert claims[0] is not None
    assert await bench.attempt("executor", claims[0]) == "completed"
    await bench.retry_now(second)
    bench.use(agent=PuppetAgent({"slug.py": NICER}))
    assert await bench.work("executor") == "completed"
    assert (await bench.task(other))["status"] == "in_progress"


async def test_red_once_and_then_green_is_flaky(
    bench: Bench, people: LocalPeople, tmp_path: Path
) -> None:
    """On the new base a red verification gets one more run of the same commit, and is noted."""
    counter, at = tmp_path / "runs", 6  # base and head, three times: the third head is the replay
    program = (
        "import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.open('a').write('x');"
        "sys.exit(len(p.read_text()) == int(sys.argv[2]))"
    )
    check = [sys.executable, "-c", program, str(counter), str(at)]
    criteria = json.dumps([{"text": "it holds", "check": check}])
    await people.protect([CI])
    bench.use(agent=PuppetAgent({"slug.py": GOOD_SLUG}))
    task = await bench.add_task("code", acceptance_criteria=criteria)
    assert await bench.work("executor") == "parked"
    bench.origin.push("main", {"other.txt": "new\n"})
    await people.ci(task, CI, passed=True)
    assert await woken(bench) == "parked"
    news = await bench.rows("SELECT kind FROM juggernaut.pull_news WHERE kind = 'flaky'")
    assert len(news) == 1
    assert len(counter.read_text()) == at + 2
    await people.ci(task, CI, passed=True)
    assert await woken(bench) == "completed"
