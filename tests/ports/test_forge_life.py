"""The conformance suite of the port Forge, second part: the life of an open pull request.

Another forge joins with one more entry in `BENCHES`: a fixture that gives a Bench with people.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from juggernaut.domain.errors import ForgeError, HeadMoved, PullConflict
from juggernaut.domain.limits import EXCERPT_CHARS
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import CheckState, Mergeable, Pull, ReviewState
from tests.adapters.forges.repos import make_origin
from tests.fakes.github.double import GitHubDouble
from tests.fixtures_postgres import Database, Login
from tests.ports.forge_bench import BRANCH, CHECK, Bench
from tests.ports.forge_bench_github import REPO, as_app, with_token
from tests.ports.forge_bench_local import with_people

BENCHES = ("local_bench", "github_bench", "github_app_bench")


@pytest.fixture
async def local_bench(
    tmp_path: Path, database: Database, worker_login: Login
) -> AsyncIterator[Bench]:
    """The local forge."""
    async with with_people(database, worker_login, tmp_path) as bench:
        yield bench


@pytest.fixture
def github_bench(tmp_path: Path, github_double: GitHubDouble) -> Iterator[Bench]:
    """GitHub, with a token."""
    yield from with_token(github_double, make_origin(tmp_path))


@pytest.fixture
def github_app_bench(tmp_path: Path, github_double: GitHubDouble) -> Iterator[Bench]:
    """GitHub, as an App."""
    yield from as_app(github_double, make_origin(tmp_path))


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Bench:
    """Each forge in turn."""
    made: Bench = request.getfixturevalue(request.param)
    return made


async def seen(bench: Bench, pull: Pull) -> str:
    """Look until nothing is new any more and give the stamp."""
    return (await bench.view(pull.number)).stamp


async def test_a_fresh_pull(bench: Bench) -> None:
    """Nobody said anything yet; a second look with the stamp gives nothing new."""
    pull = await bench.opened()
    view = await bench.view(pull.number)
    assert (view.pull.number, view.pull.state, view.pull.head_sha) == (
        pull.number,
        "open",
        pull.head_sha,
    )
    assert view.pull.mergeable in {Mergeable.CLEAN, Mergeable.BLOCKED}
    assert (view.reviews, view.comments, view.in_queue) == ((), (), False)
    assert {one.state for one in view.checks} <= {CheckState.PENDING}
    assert await bench.forge.look(bench.repo, pull.number, view.stamp) is None
    with pytest.raises(ForgeError, match="4711"):
        await bench.forge.look(bench.repo, 4711)


async def test_everything_that_people_do_changes_the_stamp(bench: Bench) -> None:
    """A comment, a remark, a review, a check, a push, a new base and a closing are news."""
    pull, people = await bench.opened(), bench.crowd
    stamp = await seen(bench, pull)

    async def is_news() -> None:
        """Look with the last stamp: there is something, and it is stable again."""
        nonlocal stamp
        assert await bench.forge.look(bench.repo, pull.number, stamp) is not None
        stamp = await seen(bench, pull)
        assert await bench.forge.look(bench.repo, pull.number, stamp) is None

    await people.comment(pull.number, "Why?")
    await is_news()
    await people.comment(pull.number, "This line.", "app.py", 1)
    await is_news()
    review = await people.review(pull.number, "APPROVED")
    await is_news()
    await people.dismiss(pull.number, review)
    await is_news()
    await people.check(pull.head_sha, "ci", False)
    await is_news()
    await people.check(pull.head_sha, "ci", True)
    await is_news()
    bench.origin.push(BRANCH, {"app.py": "ONE\ntwo\nthree\nfour\n"})
    await is_news()
    bench.origin.push("main", {"app.py": "UNO\n"}, start="origin/main")
    await is_news()
    await people.close(pull.number)
    await is_news()


async def test_our_own_words_are_no_news(bench: Bench) -> None:
    """What we say, in the conversation or to a line, is not in the view and not in the stamp."""
    pull = await bench.opened()
    await bench.crowd.comment(pull.number, "This line.", "app.py", 1)
    before = await bench.view(pull.number)
    await bench.forge.say(bench.repo, pull.number, "one", "Thank you.")
    await bench.forge.say(bench.repo, pull.number, "two", "Done.", before.comments[0].id)
    assert await bench.forge.look(bench.repo, pull.number, before.stamp) is None


async def test_a_comment_is_written_once(bench: Bench) -> None:
    """The same key gives the same comment, whatever the text; another key another one."""
    pull = await bench.opened()
    await bench.crowd.comment(pull.number, "juggernaut, key `one`: say it")
    first = await bench.forge.say(bench.repo, pull.number, "one", "Hello.")
    assert await bench.forge.say(bench.repo, pull.number, "one", "Hello again.") == first
    assert await bench.forge.say(bench.repo, pull.number, "two", "Hello.") != first
    hostile = "one --> <!-- juggernaut:two"
    third = await bench.forge.say(bench.repo, pull.number, hostile, "Hello.")
    assert await bench.forge.say(bench.repo, pull.number, hostile, "Hello.") == third


async def test_what_people_say(bench: Bench) -> None:
    """Comments and remarks come with their author, their place, and in their order."""
    pull, people = await bench.opened(), bench.crowd
    await people.comment(pull.number, "Why?")
    await people.comment(pull.number, "This line.", "app.py", 2)
    comments = (await bench.view(pull.number)).comments
    assert sorted((one.author, one.text, one.path, one.line) for one in comments) == [
        (people.ann, "This line.", "app.py", 2),
        (people.ann, "Why?", "", None),
    ]
    assert len({one.id for one in comments}) == 2


async def test_reviews(bench: Bench) -> None:
    """The newest opinion of each person counts, at its commit; a dismissed one is gone."""
    pull, people = await bench.opened(), bench.crowd
    await people.review(pull.number, "CHANGES_REQUESTED", "Rename it.")
    await people.review(pull.number, "APPROVED", login=people.bob)
    view = await bench.view(pull.number)
    assert {one.author: (one.state, one.text, one.sha) for one in view.reviews} == {
        people.ann: (ReviewState.CHANGES_REQUESTED, "Rename it.", pull.head_sha),
        people.bob: (ReviewState.APPROVED, "", pull.head_sha),
    }
    moved = bench.origin.push(BRANCH, {"app.py": "RENAMED\n"})
    # The local forge learns of a push when somebody looks; GitHub knows at once.
    assert (await bench.view(pull.number)).pull.head_sha == moved
    approval = await people.review(pull.number, "APPROVED")
    view = await bench.view(pull.number)
    assert {one.author: (one.state, one.sha) for one in view.reviews} == {
        people.ann: (ReviewState.APPROVED, moved),
        people.bob: (ReviewState.APPROVED, pull.head_sha),
    }
    await people.dismiss(pull.number, approval)
    assert [one.author for one in (await bench.view(pull.number)).reviews] == [people.bob]


async def test_checks(bench: Bench) -> None:
    """The newest word of a check counts; a required one that nobody reported is pending."""
    pull, people = await bench.opened(), bench.crowd
    await people.require(("ci",))
    view = await bench.view(pull.number)
    checks = {one.name: (one.state, one.required) for one in view.checks}
    assert checks["ci"] == (CheckState.PENDING, True)
    assert view.pull.mergeable is Mergeable.BLOCKED
    await people.check(pull.head_sha, "ci", False)
    await people.check(pull.head_sha, "lint", True)
    await bench.forge.post_check(bench.repo, pull.head_sha, CHECK, True, "3 passed")
    view = await bench.view(pull.number)
    checks = {one.name: (one.state, one.required) for one in view.checks}
    assert checks["ci"] == (CheckState.FAILED, True)
    assert checks["lint"] == (CheckState.PASSED, False)
    assert checks[CHECK][0] is CheckState.PASSED
    assert view.pull.mergeable is Mergeable.BLOCKED
    await people.check(pull.head_sha, "ci", True)
    view = await bench.view(pull.number)
    assert {one.state for one in view.checks if one.required} == {CheckState.PASSED}
    assert view.pull.mergeable is Mergeable.CLEAN


async def test_the_log_of_a_red_check(bench: Bench) -> None:
    """The end of the log is given, bounded; a check without a log gives no more than its words."""
    pull = await bench.opened()
    log = "begin\n" + "noise\n" * (EXCERPT_CHARS // 3) + "AssertionError: 2 != 3"
    await bench.crowd.check(pull.head_sha, "ci", False, log)
    await bench.forge.post_check(bench.repo, pull.head_sha, CHECK, False, "1 failed")
    checks = {one.name: one for one in (await bench.view(pull.number)).checks}
    text = await bench.forge.check_log(bench.repo, checks["ci"])
    assert text.endswith("AssertionError: 2 != 3")
    assert "begin" not in text
    assert len(text) <= EXCERPT_CHARS
    assert len(await bench.forge.check_log(bench.repo, checks[CHECK])) < 100


async def test_a_draft_becomes_ready(bench: Bench) -> None:
    """A draft does not merge; taken out of it, once or twice, it does."""
    pull = await bench.opened(draft=True)
    assert pull.draft
    await bench.forge.post_check(bench.repo, pull.head_sha, CHECK, True, "")
    assert (await bench.view(pull.number)).pull.mergeable is Mergeable.BLOCKED
    with pytest.raises(ForgeError):
        await bench.merge(pull)
    assert not (await bench.forge.mark_ready(bench.repo, pull.number)).draft
    assert not (await bench.forge.mark_ready(bench.repo, pull.number)).draft
    assert not (await bench.view(pull.number)).pull.draft
    assert (await bench.merge(pull)).state == "merged"


async def test_closing(bench: Bench) -> None:
    """We close with a reason, once; what is closed or merged stays as it is."""
    pull = await bench.opened()
    closed = await bench.forge.close_pull(bench.repo, pull.number, "A duplicate.")
    assert (closed.state, closed.merged_sha) == ("closed", None)
    assert closed.ended_by
    again = await bench.forge.close_pull(bench.repo, pull.number, "Another reason.")
    assert again == closed
    assert bench.origin.head(BRANCH) == pull.head_sha
    other = await bench.verified(branch="feature/task-2")
    merged = await bench.merge(other)
    assert await bench.forge.close_pull(bench.repo, other.number, "Too late.") == merged


async def test_a_person_closes(bench: Bench) -> None:
    """It is seen as closed, by whom; it does not merge."""
    pull = await bench.verified()
    await bench.crowd.close(pull.number)
    ended = (await bench.view(pull.number)).pull
    assert (ended.state, ended.ended_by, ended.merged_sha) == ("closed", bench.crowd.ann, None)
    with pytest.raises(ForgeError, match="closed"):
        await bench.merge(pull)


async def test_a_forced_push(bench: Bench) -> None:
    """The new head is seen, and what was verified before does not merge."""
    pull = await bench.verified()
    moved = bench.origin.push(BRANCH, {"app.py": "something else\n"})
    assert (await bench.view(pull.number)).pull.head_sha == moved
    with pytest.raises(HeadMoved):
        await bench.merge(pull)


async def test_a_conflict_is_seen(bench: Bench) -> None:
    """A base that went another way makes a conflict; a merge says so."""
    pull = await bench.verified()
    bench.origin.push("main", {"app.py": "UNO\n"}, start="origin/main")
    assert (await bench.view(pull.number)).pull.mergeable is Mergeable.CONFLICT
    with pytest.raises(PullConflict):
        await bench.merge(pull)


async def test_protection_is_obeyed(bench: Bench) -> None:
    """Without the approval and the check that the branch asks for nothing merges."""
    pull, people = await bench.verified(), bench.crowd
    await people.require(("ci",), approvals=1)
    assert (await bench.view(pull.number)).pull.mergeable is Mergeable.BLOCKED
    with pytest.raises(ForgeError):
        await bench.merge(pull)
    await people.check(pull.head_sha, "ci", True)
    with pytest.raises(ForgeError):
        await bench.merge(pull)
    await people.review(pull.number, "APPROVED")
    assert (await bench.merge(pull)).state == "merged"


async def test_deleting_a_branch(bench: Bench) -> None:
    """Only at the expected commit; elsewhere or gone is no error."""
    pull = await bench.opened()
    old = Sha(bench.origin.log(BRANCH)[1])
    assert not await bench.forge.delete_branch(bench.repo, BRANCH, old)
    assert bench.origin.head(BRANCH) == pull.head_sha
    assert await bench.forge.delete_branch(bench.repo, BRANCH, pull.head_sha)
    assert await bench.forge.branch_head(bench.repo, BRANCH) is None
    assert not await bench.forge.delete_branch(bench.repo, BRANCH, pull.head_sha)


async def test_promises(bench: Bench) -> None:
    """The settings say what can be promised; a squash needs the row lock."""
    await bench.crowd.require(("ci",))
    promises = await bench.forge.promises(bench.repo)
    assert promises.merge_method == "squash"
    assert promises.row_lock
    assert promises.protected
    assert "ci" in promises.required_checks
    assert not promises.deletes_branches
    assert not promises.merge_queue


async def test_a_person_merges_at_github(github_bench: Bench, github_double: GitHubDouble) -> None:
    """It is seen as merged, by whom and where; our merge gives that one back."""
    pull = await github_bench.verified()
    github_double.human.merge(REPO, pull.number, "squash", "ann")
    ended, main = (await github_bench.view(pull.number)).pull, github_bench.origin.head("main")
    assert (ended.state, ended.ended_by, ended.merged_sha) == ("merged", "ann", main)
    assert (await github_bench.merge(pull)).merged_sha == main
    assert github_bench.origin.head("main") == main


async def test_a_push_in_the_moment_of_the_merge(
    github_bench: Bench, github_double: GitHubDouble
) -> None:
    """GitHub compares the head when it merges, so a push in between is not merged."""
    pull, base = await github_bench.verified(), github_bench.origin.head("main")

    def push() -> None:
        """Push behind the adapter's back."""
        github_double.human.push(REPO, BRANCH, {"app.py": "evil\n"})

    github_double.faults.before("PUT", "*/merge", push)
    with pytest.raises(HeadMoved):
        await github_bench.merge(pull)
    assert github_bench.origin.head("main") == base


async def test_what_runs_and_what_is_skipped_at_github(
    github_bench: Bench, github_double: GitHubDouble
) -> None:
    """A job that runs is pending, a skipped one has passed, a cancelled one has not."""
    pull = await github_bench.opened()
    for name, end in (("slow", None), ("lint", "skipped"), ("old", "cancelled")):
        github_double.human.set_check(REPO, pull.head_sha, name, end)
    checks = (await github_bench.view(pull.number)).checks
    assert {one.name: one.state for one in checks} == {
        "slow": CheckState.PENDING,
        "lint": CheckState.PASSED,
        "old": CheckState.FAILED,
    }
