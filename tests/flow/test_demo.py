"""`juggernaut demo` as a person runs it: a process of its own, everything real but the model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "juggernaut", "demo"]
SHA = 40


def environment(folder: Path) -> dict[str, str]:
    """Give an environment without anything of the developer's, with a temporary folder."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    root = Path(__file__).resolve().parents[2]
    return kept | {"HOME": str(folder), "TMPDIR": str(folder), "PYTHONPATH": str(root)}


def git(repository: str, *argv: str) -> str:
    """Ask git about a repository."""
    command = ["git", "-c", "safe.directory=*", "-C", repository, *argv]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the server's own user can get to, which pytest's own may not be."""
    folder = Path(tempfile.mkdtemp(prefix="juggernaut-flow-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_demo_keeps_every_promise(place: Path) -> None:
    """A merged commit, green tests there, evidence with its sha, a decision, no violation."""
    ended = subprocess.run(
        [*COMMAND, "--json", "--dir", str(place / "demo")],
        cwd="/",
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    assert told["ok"], told["missing"]
    check_repository(told)
    check_evidence(told)
    assert told["law_violations"] == []
    assert told["goal"]["status"] == "completed"
    assert told["worker_exit"] == 0
    assert told["spend"][0]["spent_usd"] != "0.000000"
    assert "SELECT approve_task(" in ended.stderr
    assert servers_in(place) == []


def check_repository(told: dict[str, Any]) -> None:
    """The merge is one real commit on the default branch, and the bug was in what it changed."""
    sha = told["merged_sha"]
    assert len(sha) == SHA
    assert git(told["repository"], "rev-parse", "HEAD") == sha
    assert git(told["repository"], "rev-list", "--count", "HEAD") == "3"
    assert "slug[:limit]" in git(told["repository"], "show", f"{sha}:slugs/text.py")
    assert told["tests_before"] == {"green": False, "ran": 11, "passed": 9, "failed": 2}
    assert told["tests_after"] == {"green": True, "ran": 11, "passed": 11, "failed": 0}


def check_evidence(told: dict[str, Any]) -> None:
    """Every task has proof; the release was approved by the approver's login."""
    proofs = {row["task_type"]: row for row in told["evidence"]}
    assert set(proofs) == {"planning", "code", "command", "report", "strategy"}
    assert proofs["code"]["merged_sha"] == told["merged_sha"]
    assert {verdict["verdict"] for verdict in proofs["code"]["verdicts"]} == {"met"}
    assert proofs["command"]["facts"]["exit_code"] == 0
    (decision,) = told["decisions"]
    assert decision["status"] == "approved"
    assert decision["approved_by"].startswith("demo_approver_")
    assert told["learnings"][0]["task_id"] == proofs["code"]["task_id"]
    assert told["reports"][0]["id"] == proofs["report"]["facts"]["report_id"]
    assert told["recommendations"]
    alerts = [row for row in told["watchdog"] if row["what"] == "alert approval_waits"]
    assert [row["facts"]["resolved"] for row in alerts] == [True]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_ended_demo_leaves_nothing(place: Path) -> None:
    """SIGTERM in the middle: workers and server end, the temporary folder is removed."""
    with subprocess.Popen(
        COMMAND,
        cwd="/",
        env=environment(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "in_progress" in line:
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(60) == 130, rest
    assert "interrupted" in rest
    assert list(place.glob("juggernaut-demo-*")) == []
    assert servers_in(place) == []


def servers_in(place: Path) -> list[str]:
    """Give the command lines of processes that still work in a folder, after a short grace."""
    deadline = time.monotonic() + 5
    while True:
        found = [line for line in command_lines() if str(place) in line]
        if not found or time.monotonic() > deadline:
            return found


def command_lines() -> list[str]:
    """Give the command line of every process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue
    return found
