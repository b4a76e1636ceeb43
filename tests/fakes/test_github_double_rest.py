"""The double of GitHub, driven with real PyGithub: refs, checks, rules, tokens, the contract."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from github import GithubException

from tests.fakes.github.double import APP_ID
from tests.fakes.github.extract_openapi import HERE
from tests.fakes.github.openapi import extract
from tests.fakes.github.render_pulls import PullRender
from tests.fakes.github_desk import BRANCH, PATH, REPO, Desk, connect


def test_refs_are_compared_and_swapped(desk: Desk) -> None:
    """Creating what is there, moving backwards, and what is protected are refused."""
    tip = desk.repo.get_branch("main").commit.sha
    body = {"ref": f"refs/heads/{BRANCH}", "sha": tip}
    assert desk.ask("POST", f"{PATH}/git/refs", body)[0] == 201
    assert desk.refused("POST", f"{PATH}/git/refs", body) == (422, "Reference already exists")
    gone = {"ref": "refs/heads/x", "sha": "ab" * 20}
    assert desk.refused("POST", f"{PATH}/git/refs", gone) == (422, "Object does not exist")
    moved = desk.double.human.push(REPO, BRANCH, {"a": "a\n"})
    where = f"{PATH}/git/refs/heads/{BRANCH}"
    assert desk.refused("PATCH", where, {"sha": tip})[1] == "Update is not a fast forward"
    assert desk.ask("PATCH", where, {"sha": tip, "force": True})[0] == 200
    assert desk.ask("PATCH", where, {"sha": moved})[0] == 200
    assert desk.ask("DELETE", where)[0] == 204
    assert desk.refused("DELETE", where) == (422, "Reference does not exist")
    desk.double.human.protect(REPO)
    assert desk.refused("PATCH", f"{PATH}/git/refs/heads/main", {"sha": moved})[0] == 422
    pull = {"ref": "refs/pull/9/head", "sha": tip}
    assert desk.refused("POST", f"{PATH}/git/refs", pull)[0] == 422


def test_objects(desk: Desk) -> None:
    """Blob, tree and commit are written and read as git has them; a comparison counts."""
    tip = desk.repo.get_git_commit(desk.repo.get_branch("main").commit.sha)
    blob = desk.ask("POST", f"{PATH}/git/blobs", {"content": "neu\n", "encoding": "utf-8"})[2]
    entries = [
        {"path": "new.txt", "mode": "100644", "type": "blob", "sha": blob["sha"]},
        {"path": "README", "mode": "100644", "type": "blob", "sha": None},
    ]
    tree = desk.ask("POST", f"{PATH}/git/trees", {"base_tree": tip.tree.sha, "tree": entries})[2]
    assert [entry["path"] for entry in tree["tree"]] == ["app.py", "new.txt"]
    body = {"message": "By hand", "tree": tree["sha"], "parents": [tip.sha]}
    commit = desk.ask("POST", f"{PATH}/git/commits", body)[2]
    desk.repo.create_git_ref("refs/heads/made", commit["sha"])
    compared = desk.repo.compare("main", "made")
    assert (compared.status, compared.ahead_by, compared.behind_by) == ("ahead", 1, 0)
    assert sorted((one.filename, one.status) for one in compared.files) == [
        ("README", "removed"),
        ("new.txt", "added"),
    ]
    assert desk.ask("GET", f"{PATH}/git/blobs/{blob['sha']}")[2]["size"] == 4
    assert desk.ask("GET", f"{PATH}/git/commits/{'ab' * 20}")[0] == 404
    assert desk.refused("GET", f"{PATH}/commits/{'ab' * 20}")[0] == 422


def test_checks_and_logs(desk: Desk) -> None:
    """Check runs and statuses at a commit; a job's log lies at another address for a while."""
    pull, human = desk.opened(), desk.double.human
    head = desk.repo.get_commit(pull.head.sha)
    human.set_check(REPO, head.sha, "ci", "success")
    red = human.set_check(REPO, head.sha, "ci", "failure", "boom")
    assert [(run.id, run.conclusion) for run in head.get_check_runs()] == [(red, "failure")]
    assert (
        desk.ask("GET", f"{PATH}/commits/{head.sha}/check-runs?filter=all")[2]["total_count"] == 2
    )
    status, headers, _ = desk.ask("GET", f"{PATH}/actions/jobs/{red}/logs")
    assert status == 302
    where = headers["location"].removeprefix(desk.double.url)
    status, _, text = desk.client.requester.requestJson("GET", where)
    assert (status, text) == (200, "boom")
    run = desk.ask("GET", f"{PATH}/check-runs/{red}")[2]["check_suite"]["id"]
    jobs = desk.ask("GET", f"{PATH}/actions/runs/{run}/jobs")[2]["jobs"]
    assert [job["id"] for job in jobs] == [red]
    assert desk.refused("POST", f"{PATH}/check-runs", {"name": "x", "head_sha": head.sha}) == (
        403,
        "You must authenticate via a GitHub App.",
    )
    head.create_status("failure", context="old")
    head.create_status("success", context="old")
    assert head.get_combined_status().state == "success"
    assert [one["state"] for one in desk.ask("GET", f"{PATH}/commits/{head.sha}/statuses")[2]] == [
        "success",
        "failure",
    ]
    missing = {"state": "success", "context": "x"}
    assert desk.refused("POST", f"{PATH}/statuses/{'ab' * 20}", missing)[0] == 422


def test_rules_are_told_where_github_tells_them(desk: Desk) -> None:
    """Classic protection shows in the branch and to administrators, a ruleset in the rules."""
    human = desk.double.human
    human.protect(REPO, checks=("ci",), approvals=1)
    branch = desk.repo.get_branch("main")
    assert branch.protected
    assert branch.raw_data["protection"]["required_status_checks"]["contexts"] == ["ci"]
    assert desk.ask("GET", f"{PATH}/rules/branches/main")[2] == []
    assert desk.ask("GET", f"{PATH}/branches/main/protection")[0] == 404
    admin = connect(desk.double, desk.double.token("boss"))
    desk.double.state.repos[REPO].roles["boss"] = "admin"
    shown = admin.get_repo(REPO).get_branch("main").get_protection()
    assert shown.required_status_checks.contexts == ["ci"]
    admin.close()
    human.protect(REPO, checks=("ci",), approvals=1, merge_queue=True)
    rules = desk.ask("GET", f"{PATH}/rules/branches/main")[2]
    assert [rule["type"] for rule in rules] == [
        "required_status_checks",
        "pull_request",
        "merge_queue",
    ]
    assert not desk.repo.get_branch("main").raw_data["protection"]["enabled"]


def test_pages_tags_and_quota(desk: Desk) -> None:
    """Lists come in pages; what did not change costs nothing; at the end of the quota is 403."""
    desk.opened()
    for number in range(5):
        desk.double.human.comment(REPO, 1, f"number {number}")
    where = f"{PATH}/issues/1/comments?per_page=2&page="
    status, headers, first = desk.ask("GET", f"{where}2")
    assert (status, len(first)) == (200, 2)
    assert [part.split("; ")[1] for part in headers["link"].split(", ")] == [
        'rel="prev"',
        'rel="next"',
        'rel="last"',
        'rel="first"',
    ]
    assert "next" not in desk.ask("GET", f"{where}3")[1]["link"]
    used = desk.double.state.used
    status, headers, _ = desk.ask("GET", f"{where}2", if_none_match=headers["etag"])
    assert (status, headers["x-ratelimit-used"]) == (304, str(used))
    before = desk.double.journal.counted
    desk.ask("GET", "/rate_limit")
    assert desk.double.journal.counted == before
    desk.double.state.limit = used + 1
    assert desk.ask("GET", f"{where}2")[1]["x-ratelimit-remaining"] == "0"
    assert desk.refused("GET", f"{where}2") == (403, "API rate limit exceeded for user ID 1.")
    assert desk.ask("GET", "/rate_limit")[2]["rate"]["remaining"] == 0


def test_tokens(desk: Desk) -> None:
    """Nobody sees nothing; each kind of token reaches what it should and no more."""
    double = desk.double
    double.create("octo/other")
    fine = double.token(kind="fine", repositories=(REPO,), permissions={"contents": "read"})
    client = connect(double, fine)
    status = client.requester.requestJson("GET", f"{PATH}/git/ref/heads/main")[0]
    other = client.requester.requestJson("GET", "/repos/octo/other")[0]
    push = client.requester.requestJson(
        "POST", f"{PATH}/pulls", None, {}, {"title": "T", "head": BRANCH, "base": "main"}
    )
    assert (status, other, push[0]) == (200, 404, 403)
    assert "not accessible" in push[2]
    double.revoke(fine)
    assert client.requester.requestJson("GET", PATH)[0] == 401
    client.close()
    assert desk.ask("GET", "/user")[1]["x-oauth-scopes"] == "repo"
    double.state.repos[REPO].roles["juggernaut-bot"] = "read"
    assert desk.ask("PUT", f"{PATH}/pulls/1/merge", {})[0] == 403


def test_an_app(desk: Desk) -> None:
    """An App signs, mints narrow tokens that expire, and alone may write check runs."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    app, now = desk.double.register_app(public.decode()), int(time.time())

    def mint(seconds: int = 500, issuer: int = APP_ID, **body: Any) -> tuple[int, Any]:
        """Ask for a token with a signature of so many seconds."""
        claims = {"iss": str(issuer), "iat": now - 30, "exp": now + seconds}
        signed = connect(desk.double, jwt.encode(claims, key, "RS256"))
        where = f"/app/installations/{app.installation_id}/access_tokens"
        status, _, text = signed.requester.requestJson("POST", where, None, {}, body)
        signed.close()
        return status, json.loads(text)

    assert [mint(5000)[0], mint(-100)[0], mint(issuer=1)[0]] == [401, 401, 404]
    assert mint(permissions={"administration": "write"})[0] == 422
    assert mint(repositories=["nowhere"])[0] == 422
    status, token = mint(repositories=["app"], permissions={"checks": "write"})
    assert status == 201
    client = connect(desk.double, token["token"])
    sha = desk.repo.get_branch("main").commit.sha
    body = {"name": "x", "head_sha": sha, "conclusion": "success"}

    def post(path: str) -> int:
        """Post the check run somewhere."""
        return int(client.requester.requestJson("POST", path, None, {}, body)[0])

    assert post(f"{PATH}/check-runs") == 201
    assert client.requester.requestJson("GET", f"{PATH}/pulls")[0] == 403
    assert client.requester.requestJson("GET", "/user")[0] == 403
    desk.double.turn(3601)
    assert post(f"{PATH}/check-runs") == 401
    client.close()


def test_graphql(desk: Desk) -> None:
    """Drafts, auto-merge and the merge queue; what is not known is an error with status 200."""
    pull, human = desk.opened(), desk.double.human
    pull.convert_to_draft()
    assert desk.repo.get_pull(1).draft
    with pytest.raises(GithubException, match="not allowed"):
        pull.enable_automerge("SQUASH")
    desk.double.state.repos[REPO].allow_auto_merge = True
    human.protect(REPO, checks=("ci",))
    pull.mark_ready_for_review()
    pull.enable_automerge("SQUASH")
    assert desk.repo.get_pull(1).raw_data["auto_merge"]["merge_method"] == "squash"
    human.set_check(REPO, pull.head.sha, "ci", "success")
    assert desk.repo.get_pull(1).merged
    other = desk.opened("feature/two")
    human.push(REPO, "feature/two", {"two": "two\n"})
    human.protect(REPO, merge_queue=True)
    ask = "query($id: ID!) { node(id: $id) { ... on PullRequest { isInMergeQueue } } }"
    put = "mutation($id: ID!) { enqueuePullRequest(input: {pullRequestId: $id}) { mergeQueueEntry { position } } }"  # noqa: E501
    for query, want in (
        (ask, {"node": {"isInMergeQueue": False}}),
        (put, {"enqueuePullRequest": {"mergeQueueEntry": {"position": 1}}}),
        (ask, {"node": {"isInMergeQueue": True}}),
    ):
        body = {"query": query, "variables": {"id": other.raw_data["node_id"]}}
        assert desk.ask("POST", "/graphql", body)[2]["data"] == want
    assert human.finish_queue(REPO) == [2]
    assert desk.repo.get_pull(2).merged
    status, _, answer = desk.ask("POST", "/graphql", {"query": "{ viewer { login } }"})
    assert (status, answer["errors"][0]["type"]) == (200, "undefinedField")


def test_the_contract_is_held(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up routes, fields and values are problems, on both sides; they are what fails a test."""
    problems = desk.double.journal.problems

    def found(text: str) -> bool:
        """Say whether such a problem was noted, and forget all."""
        seen = any(text in problem for problem in problems)
        problems.clear()
        return seen

    desk.opened()
    assert problems == []
    desk.ask("GET", f"{PATH}/pulls?status=open")
    assert found("query status is not described")
    desk.ask("GET", f"{PATH}/pulls?state=merged")
    assert found("query state=merged is none of")
    desk.ask("PUT", f"{PATH}/pulls/1/merge", {"expected_sha": "ab" * 20, "sha": "ab" * 20})
    assert found("unknown field expected_sha")
    desk.ask("POST", f"{PATH}/pulls", {"title": 7, "head": "x", "base": "main"})
    assert found("body at title")
    desk.ask("GET", f"{PATH}/pulls/1/approvals")
    assert found("does not know GET")
    monkeypatch.setattr(PullRender, "maybe_user", lambda self, login: {"login": login})
    desk.repo.get_pull(1)
    assert found("answer 200 at merged_by")


def test_the_origin_of_the_contract_is_told() -> None:
    """Package, version and licence stand beside the extract as they stand in it."""
    page = (HERE / "PROVENANCE.md").read_text(encoding="utf-8")
    for fact in extract()["provenance"].values():
        assert fact in page
    size = (HERE / "openapi.json").stat().st_size
    assert size < 200_000
