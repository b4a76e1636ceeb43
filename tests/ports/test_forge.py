"""The conformance suite of the port Forge.

Another forge joins with one more entry in `BENCHES`: a fixture that gives a Bench.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from juggernaut.domain.errors import (
    ForgeError,
    HeadMoved,
    InvalidInput,
    NothingToMerge,
    PullConflict,
)
from juggernaut.domain.model import Sha
from tests.adapters.forges.repos import make_origin
from tests.fakes.github.double import GitHubDouble
from tests.fixtures_postgres import Database, Login
from tests.ports.forge_bench import BRANCH, CHECK, Bench
from tests.ports.forge_bench_github import with_token
from tests.ports.forge_bench_local import with_record

BENCHES = ("local_bench", "github_bench")


@pytest.fixture
async def local_bench(
    tmp_path: Path, database: Database, worker_login: Login
) -> AsyncIterator[Bench]:
    """The local forge."""
    async with with_record(database, worker_login, tmp_path) as bench:
        yield bench


@pytest.fixture
def github_bench(tmp_path: Path, github_double: GitHubDouble) -> Iterator[Bench]:
    """GitHub, with a token."""
    yield from with_token(github_double, make_origin(tmp_path))


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Bench:
    """Each forge in turn."""
    made: Bench = request.getfixturevalue(request.param)
    return made


async def test_heads(bench: Bench) -> None:
    """A branch has a head, the default branch is there without its name, others are None."""
    main = bench.origin.head("main")
    assert await bench.forge.branch_head(bench.repo, None) == main
    assert await bench.forge.branch_head(bench.repo, "main") == main
    assert await bench.forge.branch_head(bench.repo, "feature/none") is None


async def test_open_and_find(bench: Bench) -> None:
    """An opened pull is found by its branch."""
    assert await bench.forge.find_pull(bench.repo, BRANCH) is None
    pull = await bench.opened()
    assert pull.state == "open"
    assert pull.head_sha == bench.origin.head(BRANCH)
    assert pull.base_branch == "main"
    assert pull.merged_sha is None
    assert await bench.forge.find_pull(bench.repo, BRANCH) == pull


async def test_an_open_pull_is_given_back(bench: Bench) -> None:
    """There is never a second pull while one is open, also from eight callers at once."""
    bench.origin.push(BRANCH, {"app.py": "ONE\n"})
    pulls = await asyncio.gather(
        *(bench.forge.open_pull(bench.repo, BRANCH, f"Title {n}", "Body") for n in range(8))
    )
    assert len({pull.number for pull in pulls}) == 1
    moved = bench.origin.push(BRANCH, {"app.py": "ONE again\n"})
    again = await bench.forge.open_pull(bench.repo, BRANCH, "Another title", "Body")
    assert again.number == pulls[0].number
    assert again.head_sha == moved


async def test_nothing_to_merge(bench: Bench) -> None:
    """A branch whose head the base contains gets no pull."""
    bench.origin.push(BRANCH, {"app.py": "ONE\n"})
    bench.origin.push("main", {"README": "more\n"}, start=f"origin/{BRANCH}")
    with pytest.raises(NothingToMerge, match="no commits between"):
        await bench.forge.open_pull(bench.repo, BRANCH, "Title", "Body")


async def test_a_change_that_is_in_the_base_already(local_bench: Bench) -> None:
    """The local forge also refuses other commits that would change nothing; GitHub does not."""
    local_bench.origin.push(BRANCH, {"app.py": "ONE\n"})
    local_bench.origin.push("main", {"app.py": "ONE\n"}, start=f"origin/{BRANCH}~1")
    with pytest.raises(NothingToMerge, match="no commits between"):
        await local_bench.forge.open_pull(local_bench.repo, BRANCH, "Title", "Body")


async def test_a_missing_branch(bench: Bench) -> None:
    """A branch that was never pushed is named."""
    with pytest.raises(ForgeError, match="feature/none"):
        await bench.forge.open_pull(bench.repo, "feature/none", "Title", "Body")


async def test_merge(bench: Bench) -> None:
    """A verified pull becomes one commit on the base; its branch is kept."""
    before = bench.origin.log()
    pull = await bench.verified()
    merged = await bench.merge(pull)
    assert merged.state == "merged"
    assert merged.number == pull.number
    assert merged.merged_sha == bench.origin.head("main")
    assert bench.origin.log()[1:] == before
    assert bench.origin.show("main:app.py") == "ONE\ntwo\nthree"
    assert bench.origin.head(BRANCH) == pull.head_sha
    assert await bench.forge.find_pull(bench.repo, BRANCH) == merged


async def test_merge_again_gives_the_merge(bench: Bench) -> None:
    """A repeat gives the merged pull and makes no commit; at another head it is refused."""
    pull = await bench.verified()
    merged = await bench.merge(pull)
    length = len(bench.origin.log())
    assert await bench.merge(pull) == merged
    with pytest.raises(HeadMoved):
        await bench.merge(pull, bench.origin.push(BRANCH, {"app.py": "more\n"}))
    assert len(bench.origin.log()) == length


async def test_no_second_pull_of_a_merged_head(bench: Bench) -> None:
    """After a squash merge the same head gets no second pull, even when the base went on."""
    pull = await bench.verified()
    await bench.merge(pull)
    with pytest.raises(NothingToMerge):
        await bench.forge.open_pull(bench.repo, BRANCH, "Title", "Body")
    bench.origin.push("main", {"app.py": "quite another text\n"}, start="origin/main")
    with pytest.raises(NothingToMerge):
        await bench.forge.open_pull(bench.repo, BRANCH, "Title", "Body")


async def test_new_work_on_a_merged_branch(bench: Bench) -> None:
    """New commits on the branch of a merged pull get a new one."""
    pull = await bench.verified()
    await bench.merge(pull)
    bench.origin.push(BRANCH, {"other.py": "more\n"})
    again = await bench.forge.open_pull(bench.repo, BRANCH, "Title", "Body")
    assert again.number != pull.number
    found = await bench.forge.find_pull(bench.repo, BRANCH)
    assert found is not None
    assert found.number == again.number


async def test_the_check_is_required_at_this_sha(bench: Bench) -> None:
    """A missing check, a red one, another one, or one of another commit does not merge."""
    pull = await bench.opened()
    with pytest.raises(ForgeError, match=f"{CHECK} is missing at {pull.head_sha}"):
        await bench.merge(pull)
    await bench.forge.post_check(bench.repo, bench.origin.head("main"), CHECK, True, "")
    await bench.forge.post_check(bench.repo, pull.head_sha, "lint", True, "")
    with pytest.raises(ForgeError, match="is missing"):
        await bench.merge(pull)
    await bench.forge.post_check(bench.repo, pull.head_sha, CHECK, False, "1 failed")
    with pytest.raises(ForgeError, match="is red"):
        await bench.merge(pull)
    await bench.forge.post_check(bench.repo, pull.head_sha, CHECK, True, "all passed")
    assert (await bench.merge(pull)).state == "merged"


async def test_a_moved_head_does_not_merge(bench: Bench) -> None:
    """A push between verification and merge stops the merge."""
    pull = await bench.verified()
    moved = bench.origin.push(BRANCH, {"app.py": "evil\n"})
    with pytest.raises(HeadMoved):
        await bench.merge(pull)
    with pytest.raises(ForgeError, match="is missing"):
        await bench.merge(pull, moved)
    assert len(bench.origin.log()) == 1


async def test_conflict(bench: Bench) -> None:
    """A change that does not apply any more is refused, and its pull stays open."""
    pull = await bench.verified()
    bench.origin.push("main", {"app.py": "UNO\ntwo\nthree\n"}, start="origin/main")
    with pytest.raises(PullConflict, match="does not apply to main"):
        await bench.merge(pull)
    found = await bench.forge.find_pull(bench.repo, BRANCH)
    assert found is not None
    assert found.state == "open"


async def test_the_base_went_on(bench: Bench) -> None:
    """A merge keeps what came into the base meanwhile."""
    pull = await bench.verified()
    bench.origin.push("main", {"README": "new words\n"}, start="origin/main")
    await bench.merge(pull)
    assert bench.origin.show("main:README") == "new words"
    assert bench.origin.show("main:app.py") == "ONE\ntwo\nthree"


async def test_racing_merges_of_one_pull(bench: Bench) -> None:
    """Six callers merge one pull: one commit, the same answer for all."""
    pull = await bench.verified()
    merged = await asyncio.gather(*(bench.merge(pull) for _ in range(6)))
    assert len({one.merged_sha for one in merged}) == 1
    assert len(bench.origin.log()) == 2


async def test_racing_merges_of_two_pulls(bench: Bench) -> None:
    """Two pulls that do not touch each other both land."""
    first = await bench.verified()
    bench.origin.push("feature/task-2", {"other.py": "other\n"})
    second = await bench.forge.open_pull(bench.repo, "feature/task-2", "Other", "")
    await bench.forge.post_check(bench.repo, second.head_sha, CHECK, True, "")
    await asyncio.gather(bench.merge(first), bench.merge(second))
    assert len(bench.origin.log()) == 3
    assert bench.origin.show("main:app.py") == "ONE\ntwo\nthree"
    assert bench.origin.show("main:other.py") == "other"


async def test_unknown_pull_and_commit(bench: Bench) -> None:
    """A number or a commit that is not there is refused by its name."""
    absent, main = Sha("ab" * 20), bench.origin.head("main")
    await bench.forge.post_check(bench.repo, main, CHECK, True, "")
    with pytest.raises(ForgeError, match="4711"):
        await bench.forge.merge(bench.repo, 4711, main, "Title", "")
    with pytest.raises(ForgeError, match=absent):
        await bench.forge.post_check(bench.repo, absent, CHECK, True, "")


@pytest.mark.parametrize("branch", ["-x", "a..b", "a b", "a\nb", "HEAD^", "/a", "a.lock", ""])
async def test_hostile_branch_names(bench: Bench, branch: str) -> None:
    """A name that git could read as something else is refused at the door."""
    with pytest.raises(InvalidInput):
        await bench.forge.open_pull(bench.repo, branch, "Title", "Body")


@pytest.mark.parametrize("sha", ["main", "--help", "HEAD", "abc123", "AB" * 20])
async def test_only_full_shas(bench: Bench, sha: str) -> None:
    """Nothing but a full commit id is taken for one."""
    with pytest.raises(InvalidInput):
        await bench.forge.post_check(bench.repo, Sha(sha), CHECK, True, "")
