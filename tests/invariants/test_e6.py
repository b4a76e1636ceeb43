"""E6: completion, evidence, verdicts, state and learning land in one transaction or not at all.

A real child process is killed (kill -9) at each fault point; then another one ends the task.
Default: 9 points x 1 code task, 4 points x 1 command task. Full: 100 of each.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from uuid import UUID

import pytest

from juggernaut.domain.faults import POINTS, VARIABLE
from tests.adapters.forges.repos import make_origin
from tests.invariants.scene import Scene
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials
from tests.roles.bench import CRITERIA, SLUG_FILES

KILLS = trials(1, 100)
COMMAND_POINTS = ("claim.got", "plan.recorded", "complete.sent", "complete.acked")
ROOT = Path(__file__).resolve().parents[2]
PAYLOAD = '{"command": ["true"]}'


async def attempt(scene: Scene, folder: Path, name: str, fault: str | None) -> int:
    """Do one task in a child process; gives how it ended."""
    url = scene.database.url_for(scene.worker.name, scene.worker.password)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.invariants.one_attempt", url, str(folder), name),
        cwd=ROOT,
        env={**os.environ, **({VARIABLE: fault} if fault else {})},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), said.decode()
    return process.returncode


async def parts(scene: Scene, task: UUID) -> dict[str, bool]:
    """Say which parts of a completion are there."""
    row = await scene.operator.fetchrow(
        "SELECT t.status = 'completed' AS state, t.completed_at IS NOT NULL AS time,"
        " t.evidence_id IS NOT NULL AS link, t.lease_login IS NULL AS lease,"
        " EXISTS (SELECT FROM juggernaut.evidence e WHERE e.task_id = t.id) AS evidence,"
        " EXISTS (SELECT FROM juggernaut.verdicts v WHERE v.task_id = t.id) AS verdict,"
        " EXISTS (SELECT FROM learnings l WHERE l.task_id = t.id) AS learning,"
        " EXISTS (SELECT FROM juggernaut.attempts a WHERE a.task_id = t.id"
        "         AND a.ended_as = 'completed') AS attempt"
        " FROM governance_tasks t WHERE t.id = $1",
        task,
    )
    assert row is not None
    return dict(row)


async def check_never_half(scene: Scene, task: UUID, learns: bool) -> bool:
    """All parts or none; True when it is completed."""
    found = await parts(scene, task)
    if not learns:
        found.pop("learning")
    assert len(set(found.values())) == 1, f"half a completion: {found}"
    return found["state"]


async def check_kill(scene: Scene, folder: Path, kind: str, point: str) -> None:
    """Kill a process at a point; what it leaves is whole, and the next one ends it once."""
    origin = make_origin(folder, SLUG_FILES)
    columns = {"acceptance_criteria": CRITERIA} if kind == "code" else {"payload": PAYLOAD}
    if kind == "command":
        columns["acceptance_criteria"] = '[{"text": "true is true", "check": ["true"]}]'
    task = await scene.swarm.add(task_type=kind, repo=origin.name, **columns)
    killed = await attempt(scene, folder, "first", f"{point}:kill")
    assert killed == -signal.SIGKILL, f"{point} was never reached"
    done = await check_never_half(scene, task, learns=kind == "code")
    assert done == (point == "complete.acked"), f"after {point}"
    if not done:
        await scene.expire()
        await scene.swarm.store.sweep()
        assert await attempt(scene, folder, "second", None) == 0
        assert await check_never_half(scene, task, learns=kind == "code")
    for table in ("juggernaut.evidence", "learnings"):
        rows = await scene.operator.fetch(f"SELECT 1 FROM {table} WHERE task_id = $1", task)
        assert len(rows) <= 1, f"{table} has {len(rows)} rows after {point}"
    if kind == "code":
        branch = f"feature/{task}"
        pulls = await scene.operator.fetch(
            "SELECT state FROM juggernaut.pull_requests WHERE head_branch = $1", branch
        )
        assert [row["state"] for row in pulls] == ["merged"]
        assert len(origin.log("main")) == 2
    assert await scene.violations() == []


@pytest.mark.slow
@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
@pytest.mark.parametrize("point", POINTS)
async def test_a_code_task_is_never_half_done(scene: Scene, tmp_path: Path, point: str) -> None:
    """One pull request, one merge, one evidence, one learning."""
    for number in range(KILLS):
        await check_kill(scene, tmp_path / str(number), "code", point)


@pytest.mark.slow
@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
@pytest.mark.parametrize("point", COMMAND_POINTS)
async def test_a_command_task_is_never_half_done(scene: Scene, tmp_path: Path, point: str) -> None:
    """The same for a task without an effect at the forge."""
    for number in range(KILLS):
        await check_kill(scene, tmp_path / str(number), "command", point)
