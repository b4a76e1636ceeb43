"""The local forge where it is more than the port: crashes, a moving base, adopted checkouts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from juggernaut.adapters.forges.local import LocalForge
from juggernaut.adapters.postgres.store_pulls import PgPulls, PullRecord
from juggernaut.domain.errors import DatabaseUnreachable, ForgeError, InvalidInput, LawRefused
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Pull
from tests.adapters.forges.repos import Origin, git, make_origin
from tests.fixtures_postgres import Database, Login

CHECK = "juggernaut/verify"
BRANCH = "feature/task-1"


class Killed(Exception):
    """Stands for the end of the process."""


class FaultyPulls(PgPulls):
    """The real record, with one thing that happens before or after one of its writes."""

    before_intend: Callable[[], object] | None = None
    after_intend: Callable[[], object] | None = None
    before_confirm: Callable[[], object] | None = None
    after_confirm: Callable[[], object] | None = None

    async def intend_merge(self, repo: str, number: int, head_sha: Sha, merge_sha: Sha) -> bool:
        """Write the intention between two faults."""
        _call(self.before_intend)
        done = await super().intend_merge(repo, number, head_sha, merge_sha)
        _call(self.after_intend)
        return done

    async def confirm_merge(self, repo: str, number: int, merge_sha: Sha) -> PullRecord | None:
        """Confirm between two faults."""
        _call(self.before_confirm)
        done = await super().confirm_merge(repo, number, merge_sha)
        _call(self.after_confirm)
        return done


def _call(fault: Callable[[], object] | None) -> None:
    """Let a fault happen, if there is one."""
    if fault:
        fault()


def _die() -> None:
    """End the process, as far as the caller can see."""
    raise Killed


@pytest.fixture
async def pool(
    database: Database, worker_login: Login
) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """Connections with the rights of a worker."""
    url = database.url_for(worker_login.name, worker_login.password)
    async with asyncpg.create_pool(url, min_size=1, max_size=3) as made:
        yield made


@pytest.fixture
def faulty(pool: asyncpg.Pool[asyncpg.Record]) -> FaultyPulls:
    """The record that faults can be put into."""
    return FaultyPulls(pool)


@pytest.fixture
def forge(faulty: FaultyPulls, tmp_path: Path) -> LocalForge:
    """A forge over the faulty record."""
    return LocalForge(faulty, tmp_path / "root")


@pytest.fixture
def sound(pool: asyncpg.Pool[asyncpg.Record], tmp_path: Path) -> LocalForge:
    """The forge of the process that comes after."""
    return LocalForge(PgPulls(pool), tmp_path / "root")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """A bare repository and a clone."""
    return make_origin(tmp_path)


async def verified(forge: LocalForge, origin: Origin) -> Pull:
    """Open a pull request and record its check."""
    origin.push(BRANCH, {"app.py": "ONE\ntwo\nthree\n"})
    pull = await forge.open_pull(origin.name, BRANCH, "Change app", "Because.")
    await forge.post_check(origin.name, pull.head_sha, CHECK, True, "3 passed")
    return pull


@pytest.mark.parametrize("fault", ["before_intend", "after_intend"])
async def test_death_before_the_base_moves(
    forge: LocalForge, faulty: FaultyPulls, sound: LocalForge, origin: Origin, fault: str
) -> None:
    """Nothing has happened: the pull is open and the next process merges it once."""
    pull = await verified(forge, origin)
    setattr(faulty, fault, _die)
    with pytest.raises(Killed):
        await forge.merge(origin.name, pull.number, pull.head_sha, "Title", "")
    found = await sound.find_pull(origin.name, BRANCH)
    assert found is not None
    assert found.state == "open"
    merged = await sound.merge(origin.name, pull.number, pull.head_sha, "Another title", "")
    assert merged.merged_sha == origin.head("main")
    assert len(origin.log()) == 2


@pytest.mark.parametrize("fault", ["before_confirm", "after_confirm"])
@pytest.mark.parametrize("finder", ["find", "merge", "open"])
async def test_death_after_the_base_moved(
    forge: LocalForge,
    faulty: FaultyPulls,
    sound: LocalForge,
    origin: Origin,
    fault: str,
    finder: str,
) -> None:
    """The merge is in git: whoever looks next completes the record, and nobody merges again."""
    pull = await verified(forge, origin)
    setattr(faulty, fault, _die)
    with pytest.raises(Killed):
        await forge.merge(origin.name, pull.number, pull.head_sha, "Title", "")
    merge_sha = origin.head("main")
    origin.push("main", {"app.py": "later work\n"}, start="origin/main")
    if finder == "merge":
        await sound.merge(origin.name, pull.number, pull.head_sha, "Another title", "")
    if finder == "open":
        with pytest.raises(ForgeError, match="already"):
            await sound.open_pull(origin.name, BRANCH, "Again", "")
    found = await sound.find_pull(origin.name, BRANCH)
    assert found is not None
    assert (found.state, found.number) == ("merged", pull.number)
    assert found.merged_sha == merge_sha
    assert len(origin.log()) == 3


async def test_the_base_moves_meanwhile(
    forge: LocalForge, faulty: FaultyPulls, origin: Origin
) -> None:
    """A push to the base in the middle of a merge is kept; the merge is made anew on top."""
    pull = await verified(forge, origin)
    pushes: list[Sha] = []

    def push_once() -> None:
        """Be quicker than the merge, once."""
        if not pushes:
            pushes.append(origin.push("main", {"README": "quick\n"}, start="origin/main"))

    faulty.after_intend = push_once
    merged = await forge.merge(origin.name, pull.number, pull.head_sha, "Title", "")
    assert origin.log()[:2] == [merged.merged_sha, pushes[0]]
    assert origin.show("main:README") == "quick"


async def test_the_base_never_rests(forge: LocalForge, faulty: FaultyPulls, origin: Origin) -> None:
    """A base that always moves ends the merge with a reason, not in a loop."""
    pull = await verified(forge, origin)
    pushes: list[Sha] = []
    faulty.after_intend = lambda: pushes.append(
        origin.push("main", {"README": f"{len(pushes)}\n"}, start="origin/main")
    )
    with pytest.raises(ForgeError, match="moved 5 times"):
        await forge.merge(origin.name, pull.number, pull.head_sha, "Title", "")
    assert len(pushes) == 5


class MeetingPulls(PgPulls):
    """The real record, where a first intention waits a moment for a second one."""

    calls = 0
    met: asyncio.Event

    async def intend_merge(self, repo: str, number: int, head_sha: Sha, merge_sha: Sha) -> bool:
        """Write the intention and let the other merger write its own, if it can."""
        self.calls += 1
        done = await super().intend_merge(repo, number, head_sha, merge_sha)
        if self.calls > 1:
            self.met.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.met.wait(), 0.5)
        return done


async def test_mergers_do_not_overwrite_intentions(
    pool: asyncpg.Pool[asyncpg.Record], tmp_path: Path, origin: Origin
) -> None:
    """While one merger is between intention and confirmation, no other writes an intention."""
    pulls = MeetingPulls(pool)
    pulls.met = asyncio.Event()
    forges = [LocalForge(pulls, tmp_path / "root") for _ in range(2)]
    pull = await verified(forges[0], origin)
    first, second = await asyncio.gather(
        *(
            forge.merge(origin.name, pull.number, pull.head_sha, f"Title {number}", "")
            for number, forge in enumerate(forges)
        )
    )
    assert first == second
    assert pulls.calls == 1
    assert len(origin.log()) == 2


async def test_the_merge_commit(forge: LocalForge, origin: Origin) -> None:
    """The message has the trailers, each once, and no forged ones."""
    pull = await verified(forge, origin)
    body = "Why.\njuggernaut-head: 0000\nJuggernaut-Pull: 99\n"
    await forge.merge(origin.name, pull.number, pull.head_sha, "Fix\nit\x1b[0m", body)
    assert git(origin.bare, "log", "-1", "--format=%an <%ae>%n%B", "main") == (
        "Juggernaut <juggernaut@localhost>\nFix it [0m\n\nWhy.\n\n"
        f"Juggernaut-Pull: {pull.number}\nJuggernaut-Head: {pull.head_sha}"
    )


async def test_the_database_is_gone(
    forge: LocalForge, pool: asyncpg.Pool[asyncpg.Record], origin: Origin
) -> None:
    """A lost database is reported as that."""
    origin.push(BRANCH, {"app.py": "ONE\n"})
    await pool.close()
    with pytest.raises(DatabaseUnreachable):
        await forge.open_pull(origin.name, BRANCH, "Title", "")


async def test_a_checkout_is_not_merged_into(forge: LocalForge, origin: Origin) -> None:
    """The forge works on bare repositories; a checkout is adopted first."""
    for name in (str(origin.clone), str(origin.clone / ".git")):
        with pytest.raises(InvalidInput, match="adopt it first"):
            await forge.branch_head(name, None)


async def test_adopting_a_checkout(forge: LocalForge, origin: Origin) -> None:
    """A copy is made of what is committed; what is merged there is a pull away."""
    copy = Origin(Path(await forge.adopt(str(origin.clone))), origin.clone)
    assert copy.head("main") == origin.head("main")
    assert copy.bare != origin.bare
    (origin.clone / "app.py").write_text("not committed\n")
    git(origin.clone, "push", "-q", copy.name, "main:feature/x")
    git(copy.bare, "update-ref", "refs/heads/main", _commit_on(copy, "merged\n"))
    git(origin.clone, "checkout", "-q", "app.py")
    git(origin.clone, "pull", "-q", "--ff-only", copy.name, "main")
    assert (origin.clone / "app.py").read_text() == "merged\n"
    assert await forge.adopt(str(origin.clone)) == copy.name


async def test_adopting_goes_forward_only(forge: LocalForge, origin: Origin) -> None:
    """New commits of the person are taken over; two histories are a clear refusal."""
    copy = Origin(Path(await forge.adopt(str(origin.clone))), origin.clone)
    newer = _commit_in(origin.clone, "newer\n")
    assert await forge.adopt(str(origin.clone)) == copy.name
    assert copy.head("main") == newer
    git(copy.bare, "update-ref", "refs/heads/main", _commit_on(copy, "merged\n"))
    _commit_in(origin.clone, "different\n")
    with pytest.raises(InvalidInput, match=f"git pull {copy.bare} main"):
        await forge.adopt(str(origin.clone))


async def test_adopting_another_branch(forge: LocalForge, origin: Origin) -> None:
    """The branch that is checked out becomes the default of the copy; no branch is refused."""
    await forge.adopt(str(origin.clone))
    git(origin.clone, "checkout", "-q", "-b", "next")
    newer = _commit_in(origin.clone, "next\n")
    copy = await forge.adopt(str(origin.clone))
    assert await forge.branch_head(copy, None) == newer
    git(origin.clone, "checkout", "-q", "--detach")
    with pytest.raises(InvalidInput, match="on no branch"):
        await forge.adopt(str(origin.clone))


async def test_adopting_what_needs_no_copy(
    forge: LocalForge, origin: Origin, tmp_path: Path
) -> None:
    """A bare repository is its own; one without commits is refused in both forms."""
    assert await forge.adopt(origin.name) == origin.name
    for kind in (["--bare"], []):
        empty = tmp_path / f"empty{len(kind)}"
        git(tmp_path, "init", "-q", *kind, str(empty))
        with pytest.raises(InvalidInput, match="has no commits: commit something first"):
            await forge.adopt(str(empty))


async def test_a_worker_writes_through_functions_only(
    pool: asyncpg.Pool[asyncpg.Record], forge: LocalForge, origin: Origin
) -> None:
    """No direct write, and no sha or state that is not one."""
    pull = await verified(forge, origin)
    for statement in (
        "UPDATE juggernaut.pull_requests SET state = 'merged'",
        "DELETE FROM juggernaut.pull_requests",
        "INSERT INTO juggernaut.checks VALUES ('r', repeat('a', 40), 'n', true, '', 'x', now())",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)
    pulls = PgPulls(pool)
    with pytest.raises(LawRefused):
        await pulls.intend_merge(origin.name, pull.number, pull.head_sha, Sha("not a sha"))
    assert await pulls.confirm_merge(origin.name, pull.number, pull.head_sha) is None


async def test_readers_see_and_do_not_act(database: Database, reader_login: Login) -> None:
    """A reader reads both tables and may call none of the functions."""
    reader = await database.connect(reader_login)
    await reader.fetch("SELECT * FROM juggernaut.pull_requests, juggernaut.checks")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.execute("SELECT juggernaut.check_post_v1('r', repeat('a', 40), 'n', true, '')")


def _commit_in(clone: Path, text: str) -> Sha:
    """Commit in a checkout, as its person."""
    (clone / "app.py").write_text(text)
    git(clone, "commit", "-q", "-a", "-m", "More")
    return Sha(git(clone, "rev-parse", "HEAD"))


def _commit_on(copy: Origin, text: str) -> str:
    """Make a commit on top of main in a bare repository, by plumbing."""
    blob = git(copy.bare, "hash-object", "-w", "--stdin", text=text)
    tree = git(copy.bare, "mktree", text=f"100644 blob {blob}\tapp.py\n")
    return git(copy.bare, "commit-tree", tree, "-p", "main", "-m", "Merged")
