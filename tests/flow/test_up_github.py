"""`juggernaut up --repo owner/name`: from a goal to a merge at GitHub, by real processes."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from juggernaut.app.demo.sample import TEST_COMMAND, script_text
from tests.fakes.github.double import GitHubDouble
from tests.flow.wished import PYTHON, sample_bare

REPO = "octo/slugs"
GOAL = "shorten keeps its limit"
MOST_CALLS = 12
LOOK = [PYTHON, "-c", "import os; print('SEEN', sorted(os.environ.items()))"]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the server's user can get to."""
    folder = Path(tempfile.mkdtemp(prefix="juggernaut-flow-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def script(file: Path) -> Path:
    """Write the demo's script for a plan of one code task, whose agent looks at its environment."""
    demo = yaml.safe_load(script_text())
    parts = {part["purpose"]: part for part in demo["conversations"]}
    tasks = parts["plan"]["turns"][0]["tools"][0]["arguments"]["tasks"]
    tasks[:] = [task for task in tasks if task["task_type"] == "code"]
    look = {"argv": LOOK, "timeout_seconds": 30}
    turn = {"text": "The environment.", "tools": [{"name": "run", "arguments": look}]}
    parts["code"]["turns"].insert(2, turn)
    file.write_text(yaml.safe_dump(demo), encoding="utf-8")
    return file


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_goal_is_merged_at_github(place: Path, github_double: GitHubDouble) -> None:
    """One pull request, one merge, the verified head; the token is in no file of the swarm."""
    repo = github_double.host(REPO, sample_bare(place))
    token = github_double.token()
    before = repo.bare.refs()["refs/heads/main"]
    argv = ["-m", "juggernaut", "up", "--repo", REPO, "--dir", str(place / "state")]
    argv += ["--goal", GOAL, "--script", str(script(place / "script.yaml"))]
    ended = subprocess.run(
        [sys.executable, *argv, "--test", shlex.join(TEST_COMMAND)],
        cwd="/",
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "TMPDIR": str(place),
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "GITHUB_TOKEN": token,
            "GITHUB_API_URL": github_double.url,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "goal completed" in ended.stdout

    [pull] = repo.pulls.values()
    assert f"/{REPO}/pull/{pull.number}: " in ended.stdout
    assert pull.labels == ["juggernaut", "risk: medium"]
    assert (pull.merged_at is not None, pull.head_ref.startswith("feature/")) == (True, True)
    assert repo.bare.refs()["refs/heads/main"] not in {before, pull.head_sha}
    assert len(github_double.journal.of("POST", f"/repos/{REPO}/pulls")) == 1
    assert len(github_double.journal.of("PUT", "*/merge")) == 1
    checks = [(status.context, status.state, status.sha) for status in repo.statuses]
    assert checks == [("juggernaut/verify", "success", pull.head_sha)]

    # What the repository's settings are is asked once in minutes, and not for each task.
    settings = (f"/repos/{REPO}", f"/repos/{REPO}/branches/main", f"/repos/{REPO}/rules/*")
    once = sum(len(github_double.journal.of("GET", path)) for path in settings)
    assert once == len(settings)
    assert github_double.journal.counted - once <= MOST_CALLS

    kept = [path for path in (place / "state").rglob("*") if path.is_file()]
    assert kept
    holders = [path for path in kept if token.encode() in path.read_bytes()]
    assert holders == []
    assert token not in ended.stdout + ended.stderr
