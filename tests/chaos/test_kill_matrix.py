"""The kill matrix: an attempt is hit between its claim and its learning, and its task still ends.

Real worker processes, a real PostgreSQL, and GitHub's double. At each point of `points.py` a
process is killed, stopped past its lease and continued, cut off from the database, or it loses a
reply of the forge. Never a second pull request for a task, never a second merge, never a merge of
another commit than the verified one. Default: 7 trials. Full: every cell ten times.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
import yaml

from tests.chaos.points import CELLS, Cell, named
from tests.chaos.trial import HEIRS, Stage, Trial
from tests.chaos.verdicts import Verdict, bad, judge, stuck, table
from tests.fakes.github.double import GitHubDouble
from tests.fixtures_postgres import Database, fresh_login
from tests.invariants.trials import FULL, trials

VICTIMS = int(os.environ.get("JUGGERNAUT_VICTIMS", "8"))
FEW = (
    *("push.sent/kill", "pull.sent/kill", "merge.sent/kill", "merge.done/stop"),
    *("merge.intended/cut", "pull.sent/lose", "merge.sent/lose"),
)
MOST_CALLS = 1_000_000
THRESHOLDS = {
    **{"session_seconds": 3, "heartbeat_seconds": 0.7, "sweep_seconds": 0.5, "poll_seconds": 1},
    **{"expiry_base_seconds": 0, "pulls_seconds": 0.5, "pull_look_seconds": 0.5},
}
# Every draft is another one, as a model's would be: the random words of the prompt are in it.
WRITE = {"path": "word.txt", "content": "ready\n{{nonce}}\n"}
SCRIPT = {
    "label": "matrix",
    "conversations": [
        {
            "turns": [
                {
                    "text": "I write it.",
                    "capture": {"nonce": ">>>end ([0-9a-f]+)"},
                    "tools": [{"name": "write", "arguments": WRITE}],
                },
                {"text": "Done.", "tools": [{"name": "finish", "arguments": {"summary": "Done"}}]},
            ]
        }
    ],
}


@pytest.fixture
async def stage(
    database: Database, github_double: GitHubDouble, tmp_path: Path
) -> AsyncIterator[Stage]:
    """A database with short waits, a forge, heirs that finish what others began, a watchdog."""
    github_double.state.limit = MOST_CALLS  # an hour's quota is less than a full run needs
    script = tmp_path / "script.yaml"
    script.write_text(yaml.safe_dump(SCRIPT), encoding="utf-8")
    settings = {
        "GITHUB_TOKEN": github_double.token(),
        "GITHUB_API_URL": github_double.url,
        "JUGGERNAUT_SCRIPT": str(script),
        "JUGGERNAUT_POOL_SIZE": "4",
        "WORKER_TYPE": "executor",
        "LOG_LEVEL": "warning",
        "LOG_FORMAT": "json",
    }
    async with AsyncExitStack() as stack:
        operator = await stack.enter_async_context(
            asyncpg.create_pool(database.url, min_size=1, max_size=6)
        )
        for name, value in THRESHOLDS.items():
            await operator.execute(
                "UPDATE juggernaut.thresholds SET value = $2 WHERE name = $1", name, value
            )
        logins = [
            await stack.enter_async_context(fresh_login(database, "juggernaut_worker"))
            for _ in range(VICTIMS + 1)
        ]
        own, *lent = logins
        made = Stage(tmp_path, database, operator, github_double, settings, asyncio.Queue())
        for login in lent:
            made.logins.put_nowait(login)
        heirs = [
            made.fork(f"heir-{number}", own, JUGGERNAUT_SLOTS="executor=4")
            for number in range(HEIRS)
        ]
        heirs.append(made.fork("watchdog", own, WORKER_TYPE="watchdog"))
        yield made
        await asyncio.gather(*(asyncio.to_thread(heir.end) for heir in heirs))


async def run_trials(stage: Stage, cells: Sequence[Cell], times: int) -> list[Verdict]:
    """Run every cell so often, as many at a time as there are logins for victims."""
    verdicts: list[Verdict] = []

    async def one(cell: Cell, number: int) -> None:
        """Run one trial and judge it."""
        trial = Trial(stage, *cell, number)
        try:
            await trial.run()
        except AssertionError as error:
            verdicts.append(stuck(trial, str(error)))
        else:
            verdicts.append(await judge(trial))

    async with asyncio.TaskGroup() as group:
        for number in range(times):
            for cell in cells:
                group.create_task(one(cell, number))
    return verdicts


@pytest.mark.slow
@pytest.mark.timeout(3_600 if FULL else 150)
async def test_a_blow_at_any_point(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """One pull request, one merge, the verified commit; every task completes."""
    cells = CELLS if FULL else named(*FEW)
    verdicts = await run_trials(stage, cells, trials(1, 10))
    told = table(verdicts)
    if FULL:
        with capsys.disabled():
            sys.stdout.write(f"\n{told}\n")
    assert bad(verdicts) == [], told
    assert Counter(one.status for one in verdicts) == {"completed": len(verdicts)}, told
    assert await stage.operator.fetch("SELECT * FROM law_violations") == []
