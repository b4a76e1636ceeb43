"""A pull request's life at GitHub: its cost in requests, what is read of it, what is said."""

from __future__ import annotations

import pytest

from juggernaut.adapters.forges.github.viewing import pull_of, reviews_of
from juggernaut.domain.errors import ForgeError, NothingToMerge
from juggernaut.domain.pulls import CheckState, Mergeable, PullView, ReviewState
from tests.adapters.github.conftest import BRANCH, CHECK, REPO, Bench
from tests.fakes.github.faults import Fault

MOST_CALLS = 12
LABELS = ("juggernaut", "risk: low")


async def test_a_simple_task_costs_twelve_calls_at_most(bench: Bench) -> None:
    """From the first look to the merge, once the settings of the repository are known."""
    await bench.forge.promises(REPO)
    await bench.forge.look(REPO, (await bench.opened("feature/warm")).number)
    bench.double.human.push(REPO, BRANCH, {"app.py": "new\n"})
    bench.double.journal.clear()

    assert await bench.forge.find_pull(REPO, BRANCH) is None
    head = await bench.forge.branch_head(REPO, BRANCH)
    assert head is not None
    await bench.forge.post_check(REPO, head, CHECK, True, "3 passed")
    assert await bench.forge.find_pull(REPO, BRANCH) is None
    pull = await bench.forge.open_pull(REPO, BRANCH, "T", "B", labels=LABELS)
    assert pull.labels == LABELS
    view = await bench.forge.look(REPO, pull.number)
    assert view is not None
    assert await bench.forge.look(REPO, pull.number, view.stamp) is not None  # mergeable by now
    assert await bench.forge.find_pull(REPO, BRANCH) == pull
    merged = await bench.forge.merge(REPO, pull.number, head, "T", "B")
    assert merged.state == "merged"
    assert bench.double.journal.counted <= MOST_CALLS


async def test_labels_are_put_on_once_and_are_worth_no_failure(bench: Bench) -> None:
    """Not on a pull request that is open already; refused ones are missing in the answer."""
    labels = f"/repos/{REPO}/issues/*/labels"
    bench.double.human.push(REPO, BRANCH, {"app.py": "new\n"})
    for _ in range(2):
        pull = await bench.forge.open_pull(REPO, BRANCH, "T", "B", labels=LABELS)
        assert pull.labels == LABELS
    assert bench.count("POST", labels) == 1
    bench.double.human.push(REPO, "feature/two", {"app.py": "two\n"})
    bench.double.faults.refuse("POST", labels, 403)
    refused = await bench.forge.open_pull(REPO, "feature/two", "T", "B", labels=LABELS)
    assert (refused.state, refused.labels) == ("open", ())


async def test_an_unchanged_pull_costs_no_quota(bench: Bench) -> None:
    """Its stamp stays, and every answer is `not modified`."""
    number = (await bench.verified()).number
    for _ in range(2):
        view = await bench.forge.look(REPO, number)
    assert view is not None
    assert view.pull.mergeable is Mergeable.CLEAN
    before = bench.double.journal.counted
    assert await bench.forge.look(REPO, number, view.stamp) is None
    assert bench.double.journal.counted == before


async def test_everything_that_moves_a_pull_changes_its_stamp(bench: Bench) -> None:
    """A comment, a remark at a line, a review, a check, a push, the base."""
    pull = await bench.verified()
    human, sha = bench.double.human, pull.head_sha
    human.protect(REPO, checks=(CHECK, "ci"), approvals=1)
    moves = (
        lambda: human.comment(REPO, 1, "Why?", "ann"),
        lambda: human.remark(REPO, 1, "app.py", 1, "Not here", "ann"),
        lambda: human.review(REPO, 1, "CHANGES_REQUESTED", "ann", "Use less"),
        lambda: human.review(REPO, 1, "APPROVED", "bob"),
        lambda: human.set_check(REPO, sha, "ci", "failure", "boom"),
        lambda: human.set_status(REPO, sha, "old-ci", "pending"),
        lambda: human.push(REPO, BRANCH, {"more.py": "1\n"}),
    )
    views: list[PullView] = []
    for move in (lambda: None, *moves):
        move()
        await bench.forge.look(REPO, 1)
        view = await bench.forge.look(REPO, 1)
        assert view is not None
        views.append(view)
    assert len({view.stamp for view in views}) == len(views)
    view = views[-1]
    assert [(item.text, item.path, item.line) for item in view.comments] == [
        ("Why?", "", None),
        ("Not here", "app.py", 1),
    ]
    assert {item.author: item.state for item in view.reviews} == {
        "ann": ReviewState.CHANGES_REQUESTED,
        "bob": ReviewState.APPROVED,
    }
    # The new head has no checks yet: what is required and absent is pending, never passed.
    assert {(c.name, c.state) for c in view.checks} == {
        (CHECK, CheckState.PENDING),
        ("ci", CheckState.PENDING),
    }
    assert all(check.required for check in view.checks)


async def test_own_words_are_not_read_back(bench: Bench) -> None:
    """Neither ours by login, nor a text with our mark; a repeat says nothing twice."""
    number = (await bench.opened()).number
    first = await bench.forge.say(REPO, number, "round-1", "Working on it <!-- juggernaut:x -->")
    remark = bench.double.human.remark(REPO, number, "app.py", 1, "Shorter", "ann")
    answer = await bench.forge.say(REPO, number, "re-1", "Done", reply_to=f"line-{remark}")
    assert answer == await bench.forge.say(REPO, number, "re-1", "x", reply_to=f"line-{remark}")
    assert first == await bench.forge.say(REPO, number, "round-1", "again")
    view = await bench.forge.look(REPO, number)
    assert view is not None
    assert [comment.id for comment in view.comments] == [f"line-{remark}"]
    assert bench.count("POST", "*/comments*") == 2


async def test_a_forged_mark_silences_nobody(bench: Bench) -> None:
    """A stranger who writes our mark does not keep us from saying what we have to say."""
    number = (await bench.opened()).number
    bench.double.human.comment(REPO, number, "<!-- juggernaut:round-1 -->", "mallory")
    before = bench.count("POST", "*/comments")
    await bench.forge.say(REPO, number, "round-1", "Working on it")
    assert bench.count("POST", "*/comments") == before + 1


async def test_the_log_of_a_red_check(bench: Bench) -> None:
    """Its end, from another address, without our token; else what the check says of itself."""
    pull = await bench.opened()
    log = (
        "2026-01-01T00:00:00.0000000Z start\n" + "x" * 5_000 + "\n\x1b[31mE  assert 1 == 2\x1b[0m\n"
    )
    bench.double.human.set_check(REPO, pull.head_sha, "ci", "failure", log)
    bench.double.human.set_status(REPO, pull.head_sha, "old-ci", "failure", "2 of 3 failed")
    view = await bench.forge.look(REPO, pull.number)
    assert view is not None
    checks = {check.name: check for check in view.checks}
    text = await bench.forge.check_log(REPO, checks["ci"])
    assert text.endswith("E  assert 1 == 2")
    assert len(text) <= 2_000
    assert await bench.forge.check_log(REPO, checks["old-ci"]) == "2 of 3 failed"
    fetched = bench.double.journal.of("GET", "/_logs/*")
    assert [entry.kind for entry in fetched] == ["none"]


async def test_drafts(bench: Bench) -> None:
    """A draft is not merged; made ready once, it is; a repository without drafts opens ready."""
    pull = await bench.opened(draft=True)
    await bench.forge.post_check(REPO, pull.head_sha, CHECK, True, "passed")
    assert pull.draft
    with pytest.raises(ForgeError, match="draft"):
        await bench.merge(pull)
    assert not (await bench.forge.mark_ready(REPO, pull.number)).draft
    before = bench.count("POST", "/graphql")
    assert not (await bench.forge.mark_ready(REPO, pull.number)).draft
    assert bench.count("POST", "/graphql") == before
    assert (await bench.merge(pull)).state == "merged"
    found = bench.double.state.repo(REPO)
    assert found is not None
    found.drafts = False
    assert not (await bench.opened("feature/task-2", draft=True)).draft


async def test_a_squash_is_not_opened_again(bench: Bench) -> None:
    """GitHub would open a second pull request of a squashed head; we do not ask for it."""
    pull = await bench.verified()
    await bench.merge(pull)
    with pytest.raises(NothingToMerge, match="already"):
        await bench.forge.open_pull(REPO, BRANCH, "T", "B")
    assert bench.count("POST", f"/repos/{REPO}/pulls") == 1


async def test_a_merge_queue_is_obeyed(bench: Bench) -> None:
    """The pull request is queued at its head, and GitHub merges it when its turn comes."""
    bench.double.human.protect(REPO, checks=(CHECK,), merge_queue=True)
    pull = await bench.verified()
    await bench.forge.look(REPO, 1)
    assert (await bench.merge(pull)).state == "open"
    view = await bench.forge.look(REPO, 1)
    assert view is not None
    assert view.in_queue
    assert bench.count("PUT", "*/merge") == 0
    assert bench.double.human.finish_queue(REPO) == [1]
    assert (await bench.merge(pull)).state == "merged"


async def test_promises_are_asked_for(bench: Bench) -> None:
    """Method, row lock, protection, branches and scopes, as they are at the repository."""
    plain = await bench.forge.promises(REPO)
    assert (plain.merge_method, plain.row_lock, plain.protected) == ("squash", True, False)
    assert any("is not protected" in note for note in plain.notes)
    repo = bench.double.state.repo(REPO)
    assert repo is not None
    repo.allow_squash_merge, repo.delete_branch_on_merge = False, True
    bench.double.human.protect(REPO, checks=("ci",))
    bench.forge._facts._keep_seconds = 0.0
    bench.forge._facts._settings.clear()
    bench.forge._facts._rules.clear()
    strict = await bench.forge.promises(REPO)
    assert (strict.merge_method, strict.row_lock, strict.protected) == ("merge", False, True)
    assert (strict.required_checks, strict.deletes_branches) == (("ci",), True)
    notes = "\n".join(strict.notes)
    for said in ("squash merges are switched off", "deleted after a merge", "is not required"):
        assert said in notes


async def test_a_branch_goes_only_from_where_it_was(bench: Bench) -> None:
    """Pushed to before, or in the very moment: kept. Gone already: nothing to do."""
    pull = await bench.opened()

    def push() -> None:
        """Let a person push a commit more."""
        bench.double.human.push(REPO, BRANCH, {"app.py": f"{len(bench.double.journal.of())}\n"})

    push()
    assert not await bench.forge.delete_branch(REPO, BRANCH, pull.head_sha)
    assert bench.count("*", "*/git-receive-pack") == 0
    head = await bench.forge.branch_head(REPO, BRANCH)
    assert head is not None
    bench.double.faults.add("POST", "*/git-receive-pack", Fault(before=push))
    assert not await bench.forge.delete_branch(REPO, BRANCH, head)
    assert bench.count("POST", "*/git-receive-pack") == 1
    second = await bench.forge.branch_head(REPO, BRANCH)
    assert second is not None
    bench.double.faults.add("GET", "*/info/refs", Fault(before=push))
    assert not await bench.forge.delete_branch(REPO, BRANCH, second)
    newer = await bench.forge.branch_head(REPO, BRANCH)
    assert newer is not None
    assert len({pull.head_sha, head, second, newer}) == 4
    assert await bench.forge.delete_branch(REPO, BRANCH, newer)
    assert not await bench.forge.delete_branch(REPO, BRANCH, newer)
    assert bench.count("DELETE", "*") == 0
    bench.double.human.push(REPO, "held", {"app.py": "held\n"})
    held = await bench.forge.branch_head(REPO, "held")
    bench.double.human.protect(REPO, "held", checks=(CHECK,))
    assert held is not None
    with pytest.raises(ForgeError, match="branch held of octo/app was not deleted"):
        await bench.forge.delete_branch(REPO, "held", held)


def test_a_remark_leaves_a_wish_for_changes() -> None:
    """As at GitHub; dismissed is gone, ours is not read, and no remark is lost."""

    def review(number: int, login: str | None, state: str, body: str = "") -> dict[str, object]:
        """Write a review as GitHub does."""
        user = {"login": login} if login else None
        at = f"2026-01-01T00:00:{number:02}Z"
        return {"id": number, "user": user, "state": state, "body": body, "submitted_at": at}

    reviews, comments = reviews_of(
        [
            review(2, "ann", "COMMENTED", "and one more"),
            review(1, "ann", "CHANGES_REQUESTED", "no"),
            review(3, "bob", "APPROVED"),
            review(4, "bob", "DISMISSED"),
            review(5, "eve", "COMMENTED", "first"),
            review(6, "eve", "COMMENTED", "second"),
            review(7, "us", "APPROVED"),
            review(8, None, "PENDING", "not sent"),
        ],
        "us",
    )
    assert [(item.author, item.state.value, item.text) for item in reviews] == [
        ("ann", "changes_requested", "no"),
        ("eve", "commented", "second"),
    ]
    assert [(item.author, item.text) for item in comments] == [
        ("ann", "and one more"),
        ("eve", "first"),
    ]


def test_answers_of_an_odd_shape() -> None:
    """A deleted account, a missing field, a wrong type: nothing falls over."""
    odd: list[object] = [None, [], {"head": None, "number": "7"}, {"user": None, "merged_at": 3}]
    assert [pull_of(data).number for data in odd] == [0, 0, 0, 0]
    assert pull_of({"state": "open", "mergeable": None}).mergeable is Mergeable.UNKNOWN
    assert pull_of({"state": "open", "mergeable": False}).mergeable is Mergeable.CONFLICT
