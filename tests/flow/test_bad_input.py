"""Wrong settings, rows and repositories: each is one clear line, or one state with a reason."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from tests.app.cli_process import Ended, call
from tests.flow.wished import git, sample_checkout
from tests.flow.workers import Swarm, swarm

__all__ = ["swarm"]

PYTHON = sys.executable
NOWHERE = "postgresql://op:FAKE-password@127.0.0.1:1/none"
FILES = {
    "broken.yaml": "worker_type: [executor\n",
    "unknown.yaml": "wroker_type: executor\n",
    "binary.yaml": "\x00\x01",
    "script.yaml": "label: x\nconversations: []\n",
}


def check_one_line(ended: Ended, code: int, *said: str) -> None:
    """One line on standard error that says it, nothing else, and no secret."""
    assert ended.code == code, ended.out + ended.err
    assert ended.err.startswith("juggernaut: ")
    assert ended.err.count("\n") == 1, ended.err
    assert [part for part in said if part not in ended.err] == [], ended.err
    assert "FAKE-password" not in ended.out + ended.err
    assert "Traceback" not in ended.out


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"WORKER_TYPE": "executer"}, ("WORKER_TYPE", "executer", "executor")),
        ({"WORKER_TYPE": "executor,,watchdog;x"}, ("WORKER_TYPE",)),
        ({"DATABASE_URL": "not a dsn"}, ("DATABASE_URL",)),
        ({"DATABASE_URL": "mysql://op:FAKE-password@db/x"}, ("DATABASE_URL",)),
        ({"DATABASE_URL": "postgresql://op:FAKE-password@db:port/x"}, ("DATABASE_URL",)),
        ({"DATABASE_URL": ""}, ("DATABASE_URL is not set", "--dsn")),
        ({"JUGGERNAUT_CONFIG": "{home}/missing.yaml"}, ("missing.yaml",)),
        ({"JUGGERNAUT_CONFIG": "{home}"}, ("cannot be read",)),
        ({"JUGGERNAUT_CONFIG": "{home}/broken.yaml"}, ("broken.yaml", "line 2")),
        ({"JUGGERNAUT_CONFIG": "{home}/binary.yaml"}, ("binary.yaml",)),
        ({"JUGGERNAUT_CONFIG": "{home}/unknown.yaml"}, ("wroker_type", "worker_type")),
        ({"DATABASE_URL_FILE": "{home}/no-such-secret"}, ("DATABASE_URL_FILE", "no-such-secret")),
    ],
)
async def test_a_wrong_setting_is_one_line(
    tmp_path: Path, settings: dict[str, str], said: tuple[str, ...]
) -> None:
    """Exit code 2 before anything is connected."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    given = {name: value.format(home=tmp_path) for name, value in settings.items()}
    first = {} if "DATABASE_URL_FILE" in given else {"DATABASE_URL": NOWHERE}
    check_one_line(await call(tmp_path, "run", **{**first, **given}), 2, *said)


@pytest.mark.parametrize(
    "command", [("run", "--once"), ("task", "list"), ("migrate",), ("goal", "add", "x")]
)
async def test_an_unreachable_database_is_one_line(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Exit code 1, the address without its password, and what to do."""
    ended = await call(tmp_path, *command, DATABASE_URL=NOWHERE)
    check_one_line(ended, 1, "127.0.0.1:1", "start the server, or correct the address")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"JUGGERNAUT_SCRIPT": "{home}/none.yaml"}, ("none.yaml",)),
        ({"JUGGERNAUT_SCRIPT": "{home}/script.yaml"}, ("script.yaml", "conversations")),
        ({"JUGGERNAUT_MODEL": "anthropic/claude-x"}, ("ANTHROPIC_API_KEY is not set",)),
        ({"JUGGERNAUT_MODEL": "nobody/x"}, ("nobody",)),
        ({"JUGGERNAUT_REPO": "{home}/none"}, ("JUGGERNAUT_REPO", "is not there")),
        ({"JUGGERNAUT_REPO": "{home}"}, ("JUGGERNAUT_REPO", "is not a git repository")),
        ({"JUGGERNAUT_REPO": "{home}/empty"}, ("JUGGERNAUT_REPO", "has no commits")),
    ],
)
async def test_a_setting_that_is_found_wrong_at_the_start_is_one_line(
    swarm: Swarm, settings: dict[str, str], said: tuple[str, ...]
) -> None:
    """No worker registers: a process that cannot work must not look alive."""
    for name, text in FILES.items():
        (swarm.folder / name).write_text(text)
    git(swarm.folder, "init", "--quiet", "empty")
    given = {name: value.format(home=swarm.folder) for name, value in settings.items()}
    ended = await call(swarm.folder, "run", WORKER_DATABASE_URL=swarm.worker_url, **given)
    check_one_line(ended, 2, *said)
    assert await swarm.operator.fetchval("SELECT count(*) FROM worker_registry") == 0


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"task_type": "magic"}, "unknown task_type 'magic'"),
        ({"priority": "urgent"}, "unknown priority 'urgent'"),
        ({"risk_level": "extreme"}, "unknown risk_level 'extreme'"),
        ({"risk_level": "CRITICAL"}, "unknown risk_level 'CRITICAL'"),
        ({"status": "completed"}, "a task starts as pending, not as 'completed'"),
        ({"acceptance_criteria": '[{"text": 1}]'}, "criteri"),
        ({"acceptance_criteria": '[{"text": "x", "check": ["a", 1]}]'}, "criterion 1"),
        ({"acceptance_criteria": '[{"text": "x", "check": 5}]'}, "criterion 1"),
        ({"acceptance_criteria": '[{"test": "x"}]'}, "criterion 1"),
        ({"acceptance_criteria": "\n".join(f"- {n}" for n in range(40))}, "criteri"),
        ({"payload": '["list"]'}, "payload"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"title": "  "}, "title"),
        ({"depends_on": [uuid4()]}, "does not exist or will never complete"),
    ],
)
async def test_an_invalid_row_is_refused(
    swarm: Swarm, columns: dict[str, object], said: str
) -> None:
    """The operator's own INSERT too: a message that names it, and no row."""
    row = {"task_type": "report", "title": "a task", **columns}
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    with pytest.raises(asyncpg.PostgresError) as caught:
        await swarm.operator.execute(
            f"INSERT INTO governance_tasks ({', '.join(row)}) VALUES ({places})", *row.values()
        )
    assert said in str(caught.value)
    assert await swarm.operator.fetchval("SELECT count(*) FROM governance_tasks") == 0


async def test_tasks_cannot_be_made_to_wait_for_each_other(swarm: Swarm) -> None:
    """A cycle needs an edge to a later task: neither an insert nor an update makes one."""
    own = uuid4()
    insert = (
        "INSERT INTO governance_tasks (id, task_type, title, depends_on)"
        " VALUES ($1, 'report', $2, ARRAY[$3::uuid]) RETURNING id"
    )
    with pytest.raises(asyncpg.PostgresError, match="cannot depend on itself"):
        await swarm.operator.execute(insert, own, "own", own)
    first = await swarm.add("report", "first")
    second = await swarm.operator.fetchval(insert, uuid4(), "second", first)
    with pytest.raises(asyncpg.PostgresError, match="depends_on"):
        await swarm.operator.execute(
            "UPDATE governance_tasks SET depends_on = ARRAY[$1::uuid] WHERE id = $2", second, first
        )
    states = await swarm.operator.fetch("SELECT title, status FROM governance_tasks ORDER BY 1")
    assert [tuple(row) for row in states] == [("first", "pending"), ("second", "waiting")]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--type", "magic"), "'magic' is no task type"),
        (("--type", "report", "--priority", "urgent"), "'urgent' is no priority"),
        (("--type", "report", "--risk", "extreme"), "'extreme' is no risk level"),
        (("--type", "report", "--needs", str(uuid4())), "no task"),
    ],
)
async def test_an_invalid_task_at_the_command_line_is_one_line(
    swarm: Swarm, more: tuple[str, ...], said: str
) -> None:
    """A word that names nothing is a usage error, an id that no row has a failure."""
    ended = await call(
        swarm.folder, "task", "add", "a task", *more, DATABASE_URL=swarm.database.url
    )
    check_one_line(ended, 1 if "--needs" in more else 2, said)
    assert await swarm.operator.fetchval("SELECT count(*) FROM governance_tasks") == 0


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_without_a_model_key_only_what_needs_a_model_waits(swarm: Swarm) -> None:
    """The plan is blocked with reason and owner; commands and reports are done."""
    checkout = await asyncio.to_thread(sample_checkout, swarm.folder / "checkout")
    goal = await swarm.operator.fetchval("SELECT add_goal('a goal', '', $1, NULL)", str(checkout))
    plan = await swarm.operator.fetchval("SELECT id FROM governance_tasks WHERE goal_id = $1", goal)
    command = await swarm.add("command", "run", payload={"command": ["true"]}, repo=str(checkout))
    report = await swarm.add("report", "report")
    async with swarm.workers("all", LOG_LEVEL="error"):
        rows = await swarm.ended([plan, command, report], 30)
    assert [row["status"] for row in rows] == ["blocked", "completed", "completed"]
    assert "ANTHROPIC_API_KEY" in rows[0]["blocked_reason"]
    assert rows[0]["blocked_owner"].startswith("an operator")
    idle = await swarm.operator.fetch("SELECT task_id, reason, owner FROM why_idle")
    assert [row["task_id"] for row in idle] == [plan]


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_a_repository_of_a_row_that_is_none_fails_that_task(swarm: Swarm) -> None:
    """Each with its reason, and the process goes on."""
    git(swarm.folder, "init", "--quiet", "empty")
    (swarm.folder / "plain").mkdir()
    payload = {"command": ["true"]}
    tasks = [
        await swarm.add("command", name, payload=payload, repo=str(swarm.folder / name))
        for name in ("empty", "plain", "nothing")
    ]
    async with swarm.workers("executor", LOG_LEVEL="error"):
        rows = await swarm.ended(tasks, 30)
    assert [row["status"] for row in rows] == ["failed"] * 3
    said = ("has no commits", "is not a git repository", "is not there")
    for row, part in zip(rows, said, strict=True):
        assert part in row["error_message"], row["error_message"]


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_a_test_command_that_hangs_is_killed(swarm: Swarm) -> None:
    """It ends at the task's timeout with its code, and its children and theirs are dead."""
    checkout = await asyncio.to_thread(sample_checkout, swarm.folder / "checkout")
    mark = f"31{time.time_ns() % 10**9}"
    hang = f"import subprocess; subprocess.Popen(['sleep', '{mark}'], start_new_session=True)"
    argv = [PYTHON, "-c", f"{hang}; subprocess.run(['sleep', '{mark}'])"]
    task = await swarm.add(
        "test", "hangs", payload={"test": argv}, timeout_seconds=3, repo=str(checkout)
    )
    async with swarm.workers("executor", LOG_LEVEL="error"):
        await swarm.ended([task], 20, among=("in_progress",))
        (row,) = await swarm.ended([task], 20)
        assert alive(mark) == []
    assert row["status"] == "failed"
    assert "timeout of 3 s" in row["error_message"]
    code = await swarm.operator.fetchval("SELECT error_code FROM juggernaut.attempts")
    assert code == "timeout"
    logged = await swarm.operator.fetchval(
        "SELECT error_data FROM execution_logs WHERE action = 'task_error'"
    )
    assert json.loads(logged)["code"] == "timeout"


def alive(mark: str) -> list[str]:
    """Give the processes with a word in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if mark.encode() in line:
            found.append(line.decode(errors="replace"))
    return found
