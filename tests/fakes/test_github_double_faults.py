"""The double of GitHub when things go wrong, and its git over HTTP with real git."""

from __future__ import annotations

import base64
import subprocess
import threading
from pathlib import Path

import pytest
from github import GithubException
from requests.exceptions import ConnectionError as LostConnection

from tests.adapters.forges.repos import ENV, git, write
from tests.fakes.github_desk import BRANCH, PATH, REPO, Desk

CREATE = {"title": "T", "head": BRANCH, "base": "main"}


def over_http(folder: Path, token: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run real git with a token in its environment and give what came of it."""
    login = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    env = {
        **ENV,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {login}",
    }
    return subprocess.run(
        ["git", *argv], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def test_git_over_http(desk: Desk, tmp_path: Path) -> None:
    """Clone, push with an expected commit, fetch a pull request; what is not ours is refused."""
    double, token = desk.double, desk.double.token()
    url, clone = double.git_url(REPO), tmp_path / "clone"
    assert over_http(tmp_path, token, "clone", "-q", url, str(clone)).returncode == 0
    git(clone, "checkout", "-q", "-b", BRANCH)
    write(clone, {"big.txt": "line of text\n" * 200_000, "app.py": "ONE\n"})
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Work")
    lease = f"--force-with-lease=refs/heads/{BRANCH}:"
    assert over_http(clone, token, "push", lease, "origin", BRANCH).returncode == 0
    head = git(clone, "rev-parse", "HEAD")
    pull = desk.repo.create_pull(base="main", head=BRANCH, title="T", body="B")
    assert pull.head.sha == head
    # Somebody else pushed meanwhile: with the commit that we expected, nothing is lost.
    double.human.push(REPO, BRANCH, {"app.py": "theirs\n"})
    git(clone, "commit", "-q", "--amend", "-m", "Again")
    stale = over_http(clone, token, "push", f"{lease}{head}", "origin", BRANCH)
    assert stale.returncode != 0
    assert "stale info" in stale.stderr
    assert over_http(clone, token, "fetch", "origin", "refs/pull/1/head").returncode == 0
    assert over_http(clone, token, "fetch", "origin", head).returncode == 0
    hidden = over_http(clone, token, "push", "origin", "HEAD:refs/pull/1/head")
    assert "hidden ref" in hidden.stderr
    double.human.protect(REPO)
    guarded = over_http(clone, token, "push", "--force", "origin", "HEAD:main")
    assert "GH006" in guarded.stderr
    wrong = over_http(clone, "fake-wrong", "fetch", "origin")
    assert "Authentication failed" in wrong.stderr or "could not read" in wrong.stderr
    reader = double.token(kind="fine", permissions={"contents": "read"})
    assert over_http(clone, reader, "fetch", "origin").returncode == 0
    assert "403" in over_http(clone, reader, "push", "origin", "HEAD:refs/heads/x").stderr
    elsewhere = double.token(repositories=("octo/other",))
    assert "not found" in over_http(clone, elsewhere, "fetch", "origin").stderr
    assert {entry.kind for entry in double.journal.of("*", "*git-receive-pack")} == {"classic"}


def test_a_push_whose_answer_is_lost(desk: Desk, tmp_path: Path) -> None:
    """The push is there although git was told nothing."""
    token, clone = desk.double.token(), tmp_path / "clone"
    over_http(tmp_path, token, "clone", "-q", desk.double.git_url(REPO), str(clone))
    git(clone, "commit", "-q", "--allow-empty", "-m", "Work")
    desk.double.faults.lose_reply("POST", "*/git-receive-pack")
    assert over_http(clone, token, "push", "origin", f"HEAD:{BRANCH}").returncode != 0
    assert desk.repo.get_branch(BRANCH).commit.sha == git(clone, "rev-parse", "HEAD")


def test_lost_answers(desk: Desk) -> None:
    """Before the effect nothing happened, after it everything did: the client cannot tell."""
    desk.change()
    faults = desk.double.faults
    faults.lose_request("POST", "*/pulls")
    with pytest.raises(LostConnection):
        desk.ask("POST", f"{PATH}/pulls", CREATE)
    assert desk.double.state.repos[REPO].pulls == {}
    faults.lose_reply("POST", "*/pulls")
    with pytest.raises(LostConnection):
        desk.ask("POST", f"{PATH}/pulls", CREATE)
    assert desk.refused("POST", f"{PATH}/pulls", CREATE)[1].endswith(f"exists for octo:{BRANCH}.")
    faults.fail_after("PUT", "*/merge", status=502)
    assert desk.refused("PUT", f"{PATH}/pulls/1/merge", {})[0] == 502
    assert desk.repo.get_pull(1).merged
    assert [one.status for one in desk.double.journal.of("POST", "*/pulls")] == [0, 0, 422]


def test_limits_and_lost_rights(desk: Desk) -> None:
    """Each limit has its headers; the rule counts requests, and ends."""
    faults = desk.double.faults
    faults.refuse("GET", PATH, 503, nth=2)
    assert [desk.ask("GET", PATH)[0] for _ in range(3)] == [200, 503, 200]
    faults.primary_limit("GET", PATH, reset_seconds=90)
    status, headers, _ = desk.ask("GET", PATH)
    assert (status, headers["x-ratelimit-remaining"]) == (403, "0")
    left = int(headers["x-ratelimit-reset"]) - desk.double.state.now().timestamp()
    assert 80 <= left <= 91
    faults.secondary_limit("GET", PATH, retry_after=7, status=429)
    status, headers, _ = desk.ask("GET", PATH)
    assert (status, headers["retry-after"]) == (429, "7")
    faults.unauthorized()
    with pytest.raises(GithubException, match="Bad credentials"):
        desk.repo.get_branch("main")
    faults.clear()
    assert desk.repo.get_branch("main").name == "main"


def test_a_person_in_the_very_moment(desk: Desk) -> None:
    """A push right before a merge is seen by it; a held request waits for the test."""
    pull = desk.opened()
    human, faults = desk.double.human, desk.double.faults
    faults.before("PUT", "*/merge", lambda: human.push(REPO, BRANCH, {"app.py": "evil\n"}))
    assert desk.refused("PUT", f"{PATH}/pulls/1/merge", {"sha": pull.head.sha})[0] == 409
    go = faults.hold("GET", f"{PATH}/pulls/1")
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(desk.repo.get_pull(1).number))
    asking.start()
    human.comment(REPO, 1, "meanwhile")
    assert answers == []
    go.set()
    asking.join()
    assert answers == [1]
    faults.delay("GET", PATH, 0.01)
    assert desk.ask("GET", PATH)[0] == 200


def test_the_journal(desk: Desk) -> None:
    """It knows who asked what, what it cost, and can be waited for."""
    journal = desk.double.journal
    journal.clear()
    desk.ask("GET", PATH)
    desk.ask("GET", "/rate_limit")
    assert [(one.method, one.path, one.kind, one.status, one.counted) for one in journal.of()] == [
        ("GET", PATH, "classic", 200, True),
        ("GET", "/rate_limit", "classic", 200, False),
    ]
    assert (journal.rest_calls, journal.counted) == (2, 1)
    asking = threading.Thread(target=lambda: desk.ask("GET", f"{PATH}/pulls"))
    asking.start()
    journal.wait_for("GET", f"{PATH}/pulls")
    asking.join()
