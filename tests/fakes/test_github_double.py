"""The double of GitHub, driven with real PyGithub: the life of a pull request."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.github.double import GitHubDouble
from tests.fakes.github_desk import BRANCH, PATH, REPO, Desk, connect


def test_one_change_from_branch_to_merge(github_double: GitHubDouble) -> None:
    """PyGithub goes the whole way, at both addresses of the API."""
    github_double.create(REPO)
    for number, url in enumerate((github_double.url, github_double.enterprise_url), 1):
        client = connect(github_double, github_double.token(), url)
        repo, branch = client.get_repo(REPO), f"feature/{number}"
        tip = repo.get_branch("main").commit.sha
        repo.create_git_ref(f"refs/heads/{branch}", tip)
        known = repo.get_contents("app.py", ref=branch)
        assert not isinstance(known, list)
        repo.update_file("app.py", "Change", f"{number}\n", known.sha, branch=branch)
        pull = repo.create_pull(base="main", head=branch, title="T", body="B", draft=True)
        assert pull.draft
        pull.mark_ready_for_review()
        pull.create_issue_comment("Hello.")
        commit = repo.get_commit(pull.head.sha)
        commit.create_status("success", context="ci", description="fine")
        assert commit.get_combined_status().state == "success"
        done = pull.merge(
            commit_title="Title", commit_message="Body", merge_method="squash", sha=pull.head.sha
        )
        assert repo.get_branch("main").commit.sha == done.sha
        after = repo.get_git_commit(done.sha)
        assert (after.message, [one.sha for one in after.parents]) == ("Title\n\nBody", [tip])
        found = repo.get_pulls(state="all", head=f"octo:{branch}")
        assert [one.number for one in found] == [number]
        assert repo.get_pull(number).merged
        assert pull.url.startswith(url)
        client.close()


def test_the_merge_is_tried_in_the_background(desk: Desk) -> None:
    """The first read after a change says null and unknown, the next one what is true."""
    pull = desk.opened()
    assert desk.state(pull.number) == (None, "unknown")
    assert desk.state(pull.number) == (True, "clean")
    sha = desk.repo.get_pull(pull.number).merge_commit_sha
    assert len(desk.repo.get_git_commit(sha).parents) == 2
    desk.double.human.push(REPO, "main", {"app.py": "UNO\n"})
    assert desk.state(pull.number) == (None, "unknown")
    assert desk.state(pull.number) == (False, "dirty")
    desk.double.state.repos[REPO].slow_mergeability = 3
    desk.change(text="UNO dos\n")
    assert [desk.state(pull.number)[0] for _ in range(4)] == [None, None, None, True]


def test_why_a_merge_waits(desk: Desk) -> None:
    """draft, blocked, behind and unstable, in that order, then clean."""
    human, pull = desk.double.human, desk.opened(draft=True)
    head = pull.head.sha
    assert desk.settled(pull.number) == (True, "draft")
    human.set_draft(REPO, pull.number, draft=False)
    human.protect(REPO, checks=("ci",), approvals=1, strict=True)
    assert desk.state(pull.number)[1] == "blocked"
    human.set_check(REPO, head, "ci", "success")
    human.review(REPO, pull.number, "APPROVED")
    human.set_check(REPO, head, "lint", None)
    assert desk.state(pull.number)[1] == "unstable"
    human.set_check(REPO, head, "lint", "skipped")
    assert desk.state(pull.number)[1] == "clean"
    human.push(REPO, "main", {"README": "new\n"})
    assert desk.settled(pull.number) == (True, "behind")
    assert pull.update_branch(expected_head_sha=head)
    assert desk.settled(pull.number) == (True, "blocked")
    assert not desk.repo.get_pull(pull.number).update_branch()


APPROVED = ("review", {"number": 1, "verdict": "APPROVED", "login": "bob"})
UNHAPPY = ("review", {"number": 1, "verdict": "CHANGES_REQUESTED"})
CONFLICT = ("push", {"branch": "main", "files": {"app.py": "UNO\n"}})
NEW_BASE = ("push", {"branch": "main", "files": {"README": "new\n"}})
RED = ("set_status", {"sha": "HEAD", "context": "ci", "said": "error"})


@pytest.mark.parametrize(
    ("acts", "body", "answer"),
    [
        ([], {"sha": "ab" * 20}, (409, "Head branch was modified")),
        ([("set_draft", {"number": 1, "draft": True})], {}, (405, "Pull Request is still a draft")),
        ([CONFLICT], {}, (405, "Pull Request is not mergeable")),
        ([("close", {"number": 1})], {}, (405, "Pull Request is not mergeable")),
        ([("merge", {"number": 1})], {}, (405, "Pull Request is not mergeable")),
        ([], {"merge_method": "rebase"}, (405, "Rebase merges are not allowed")),
        ([("protect", {"checks": ("ci",)})], {}, (405, 'Required status check "ci" is expected.')),
        (
            [("protect", {"checks": ("ci",), "ruleset": True}), RED],
            {},
            (405, 'Required status check "ci" is failing.'),
        ),
        ([("protect", {"approvals": 1})], {}, (405, "At least 1 approving review is required")),
        (
            [("protect", {"approvals": 1}), APPROVED, UNHAPPY],
            {},
            (405, "Changes must be made before"),
        ),
        ([("protect", {"strict": True}), NEW_BASE], {}, (405, "Head branch is out of date")),
        (
            [("protect", {"merge_queue": True})],
            {},
            (405, "Changes must be made through the merge queue"),
        ),
    ],
)
def test_refused_merges(
    desk: Desk,
    acts: list[tuple[str, dict[str, Any]]],
    body: dict[str, str],
    answer: tuple[int, str],
) -> None:
    """Each reason has its status and its words, and nothing moves."""
    pull = desk.opened()
    desk.double.state.repos[REPO].allow_rebase_merge = False
    for name, what in acts:
        said = {key: pull.head.sha if value == "HEAD" else value for key, value in what.items()}
        getattr(desk.double.human, name)(REPO, **said)
    tip = desk.repo.get_branch("main").commit.sha
    status, reason = desk.refused("PUT", f"{PATH}/pulls/1/merge", body)
    assert (status, reason[: len(answer[1])]) == answer
    assert desk.repo.get_branch("main").commit.sha == tip


def test_a_second_pull_after_the_merge(desk: Desk) -> None:
    """After a merge commit the head has nothing left to give; after a squash it still has."""
    ask = {"title": "T", "head": BRANCH, "base": "main"}
    desk.opened().merge(merge_method="merge")
    assert desk.refused("POST", f"{PATH}/pulls", ask)[1].endswith(
        f"No commits between main and {BRANCH}"
    )
    other = desk.opened("feature/two")
    desk.double.human.push(REPO, "feature/two", {"more.py": "more\n"})
    other.merge(merge_method="squash")
    again = desk.repo.create_pull(base="main", head="feature/two", title="T", body="")
    assert again.number == 3


def test_a_rebase(desk: Desk) -> None:
    """Each commit lands on the base as one of its own."""
    human, pull = desk.double.human, desk.opened()
    human.push(REPO, BRANCH, {"more.py": "more\n"}, message="Second")
    human.push(REPO, "main", {"README": "new\n"}, message="Base")
    desk.repo.get_pull(pull.number).merge(merge_method="rebase")
    log = desk.double.state.repos[REPO].bare.text("log", "--format=%s %p", "main").splitlines()
    assert [line.rsplit(" ", 1)[0] for line in log[:3]] == ["Second", "Work by hand", "Base"]
    assert desk.repo.get_pull(pull.number).merge_commit_sha == desk.double.state.repos[
        REPO
    ].bare.resolve("main")


def test_one_open_pull_for_a_branch(desk: Desk) -> None:
    """A second one is refused while the first is open; a wrong branch is named by its field."""
    desk.opened()
    ask = {"title": "T", "head": f"octo:{BRANCH}", "base": "main"}
    refusal = desk.refused("POST", f"{PATH}/pulls", ask)
    assert refusal == (
        422,
        f"Validation Failed A pull request already exists for octo:{BRANCH}.",
    )
    for field, wrong in (("head", "nobody"), ("base", "nowhere"), ("head", f"else:{BRANCH}")):
        _, _, answer = desk.ask("POST", f"{PATH}/pulls", {**ask, field: wrong})
        assert answer["errors"] == [{"resource": "PullRequest", "field": field, "code": "invalid"}]
    desk.double.state.repos[REPO].drafts = False
    desk.change("feature/two")
    draft = {**ask, "head": "feature/two", "draft": True}
    assert "not supported" in desk.refused("POST", f"{PATH}/pulls", draft)[1]


def test_a_head_without_an_owner_filters_nothing(desk: Desk) -> None:
    """The trap of the listing: only owner:branch is a filter."""
    desk.opened("feature/one")
    desk.opened("feature/two")
    asked = f"{PATH}/pulls?state=all&head="
    assert [len(desk.ask("GET", f"{asked}{head}")[2]) for head in (
        "feature/one", "octo:feature/one", "other:feature/one", "octo:feature/three"
    )] == [2, 1, 0, 0]  # fmt: skip


def test_a_pull_follows_its_branches(desk: Desk) -> None:
    """Pushes behind our back: the head moves, base.sha lags, a deleted branch closes."""
    pull, human = desk.opened(), desk.double.human
    first = desk.repo.get_branch("main").commit.sha
    human.push(REPO, "main", {"README": "new\n"})
    assert desk.repo.get_pull(1).base.sha == first
    moved = desk.change(text="forced\n")
    shown = desk.repo.get_pull(1)
    assert (shown.head.sha, shown.base.sha) == (moved, desk.repo.get_branch("main").commit.sha)
    human.delete_branch(REPO, BRANCH)
    assert desk.repo.get_pull(1).state == "closed"
    refs = desk.double.state.repos[REPO].bare.refs()
    assert refs["refs/pull/1/head"] == moved != pull.head.sha
    assert desk.refused("PATCH", f"{PATH}/pulls/1", {"state": "open"})[0] == 422
    human.push(REPO, BRANCH, {"app.py": "again\n"}, start=moved)
    assert desk.ask("PATCH", f"{PATH}/pulls/1", {"state": "open"})[2]["state"] == "open"
    tip = desk.repo.get_branch(BRANCH).commit.sha
    human.push(REPO, "main", {"x": "x\n"}, start=tip)
    ended = desk.repo.get_pull(1).raw_data
    assert (ended["merged"], ended["merged_by"]) == (True, None)


def test_who_ended_it_and_what_goes(desk: Desk) -> None:
    """Who merged stands in the pull, who closed only in the issue; branches go when told to."""
    desk.opened()
    desk.double.human.close(REPO, 1, "ann")
    assert desk.ask("GET", f"{PATH}/issues/1")[2]["closed_by"]["login"] == "ann"
    desk.double.state.repos[REPO].delete_branch_on_merge = True
    desk.opened("feature/two")
    desk.double.human.merge(REPO, 2, "squash", "ann")
    assert desk.repo.get_pull(2).merged_by.login == "ann"
    assert desk.ask("GET", f"{PATH}/git/ref/heads/feature/two")[0] == 404


def test_reviews_and_threads(desk: Desk) -> None:
    """Nobody approves their own; an answer in a thread hangs on its first comment."""
    pull = desk.opened()
    own = {"event": "APPROVE"}
    _, _, answer = desk.ask("POST", f"{PATH}/pulls/1/reviews", own)
    assert answer["errors"] == ["Can not approve your own pull request"]
    first = desk.double.human.remark(REPO, 1, "app.py", 1, "Why?")
    reply = pull.create_review_comment_reply(first, "Because.")
    again = pull.create_review_comment_reply(reply.id, "Really.")
    assert [one.in_reply_to_id for one in pull.get_comments()] == [None, first, first]
    assert again.path == "app.py"
    desk.double.human.protect(REPO, approvals=1, dismiss_stale=True)
    desk.double.human.review(REPO, 1, "APPROVED")
    desk.change(text="moved\n")
    assert [one.state for one in pull.get_reviews()] == ["DISMISSED"]
    pull.add_to_labels("a", "b")
    assert [one.name for one in pull.get_labels()] == ["a", "b"]
