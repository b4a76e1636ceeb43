"""A pull request goes into the default branch, whatever somebody wrote into the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from juggernaut.adapters.forges.local import LocalForge
from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.adapters.postgres.store_pulls import PgPulls
from juggernaut.domain.errors import ForgeError, LawRefused
from juggernaut.domain.pulls import Mergeable
from tests.adapters.forges.repos import git, make_origin
from tests.fixtures_postgres import Database, Login, fresh_login

BRANCH = "feature/task-1"
CHECK = "juggernaut/verify"


async def test_no_other_branch_is_moved(
    tmp_path: Path, database: Database, worker_login: Login
) -> None:
    """Neither by a record that names one, nor by opening over it."""
    origin = make_origin(tmp_path)
    git(origin.bare, "branch", "production", "main")
    operator = await database.connect()
    url = database.url_for(worker_login.name, worker_login.password)
    async with open_pool(url, size=2) as pool:
        forge = LocalForge(PgPulls(pool), tmp_path / "root")
        head = origin.push(BRANCH, {"app.py": "ONE\ntwo\nthree\n"})
        pull = await forge.open_pull(origin.name, BRANCH, "Title", "Body")
        await forge.post_check(origin.name, head, CHECK, True, "fine")
        await operator.execute("UPDATE juggernaut.pull_requests SET base_branch = 'production'")
        before = (origin.head("main"), origin.head("production"))
        with pytest.raises(ForgeError, match="goes into production, not into main"):
            await forge.merge(origin.name, pull.number, head, "Title", "Body")
        with pytest.raises(LawRefused, match="goes into production, not into main"):
            await forge.open_pull(origin.name, BRANCH, "Title", "Body")
        view = await forge.look(origin.name, pull.number)
        assert view is not None
        assert view.pull.mergeable is Mergeable.BLOCKED
        assert (origin.head("main"), origin.head("production")) == before
        await forge.close_pull(origin.name, pull.number, "wrong base")
        again = await forge.open_pull(origin.name, BRANCH, "Title", "Body")
        done = await forge.merge(origin.name, again.number, head, "Title", "Body")
        assert (done.state, done.base_branch) == ("merged", "main")
        assert origin.head("production") == before[1]


async def test_who_only_watches_moves_no_head(
    tmp_path: Path, database: Database, worker_login: Login
) -> None:
    """A look by another login works, and leaves the record to the owner."""
    origin = make_origin(tmp_path)
    operator = await database.connect()
    stands = "SELECT head_sha FROM juggernaut.pull_requests"
    async with fresh_login(database, "juggernaut_worker") as rival:
        urls = [database.url_for(login.name, login.password) for login in (worker_login, rival)]
        async with open_pool(urls[0], size=2) as pool, open_pool(urls[1], size=2) as other:
            mine = LocalForge(PgPulls(pool), tmp_path / "root")
            watch = LocalForge(PgPulls(other), tmp_path / "root")
            first = origin.push(BRANCH, {"app.py": "ONE\ntwo\nthree\n"})
            pull = await mine.open_pull(origin.name, BRANCH, "Title", "Body")
            head = origin.push(BRANCH, {"app.py": "ONE\nTWO\nthree\n"})
            view = await watch.look(origin.name, pull.number)
            assert view is not None
            assert view.pull.head_sha == head
            assert await operator.fetchval(stands) == first
            await mine.look(origin.name, pull.number)
            assert await operator.fetchval(stands) == head
