"""The rules of the local forge, as an operator sets them, and who may say what of a change."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from juggernaut.adapters.forges.local import LocalForge
from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.adapters.postgres.store_pulls import PgPulls
from juggernaut.domain.errors import ForgeError
from juggernaut.domain.pulls import CheckState, Mergeable, ReviewState
from tests.adapters.forges.repos import make_origin
from tests.fixtures_postgres import Database, Login

BRANCH = "feature/task-1"
CHECK = "juggernaut/verify"


async def test_the_rules_hold_the_merge(
    tmp_path: Path, database: Database, worker_login: Login, approver_login: Login
) -> None:
    """Other checks, reviews of this very head, and the newest base: each is asked for in turn."""
    origin = make_origin(tmp_path)
    operator, person = await database.connect(), await database.connect(approver_login)
    worker = await database.connect(worker_login)
    url = database.url_for(worker_login.name, worker_login.password)
    async with open_pool(url, size=2) as pool:
        forge = LocalForge(PgPulls(pool), tmp_path / "root")
        head = origin.push(BRANCH, {"app.py": "ONE\ntwo\nthree\n"})
        pull = await forge.open_pull(origin.name, BRANCH, "Title", "Body")
        await forge.post_check(origin.name, head, CHECK, True, "fine")
        for login in (person, worker):
            with pytest.raises(asyncpg.PostgresError):
                await login.execute("SELECT protect_repository($1)", origin.name)
        rule = "SELECT protect_repository($1, ARRAY['ci'], 1, true)"
        await operator.execute(rule, origin.name)

        async def merge(reason: str) -> None:
            """Try to merge, and be refused for this reason."""
            with pytest.raises(ForgeError, match=reason):
                await forge.merge(origin.name, pull.number, head, "Title", "Body")

        await merge("check ci is missing")
        report = "SELECT report_check($1, $2, 'ci', $3, 'log')"
        with pytest.raises(asyncpg.PostgresError):
            await worker.execute(report, origin.name, head, True)
        await person.execute(report, origin.name, head, False)
        await merge("check ci is red")
        await person.execute(report, origin.name, head, True)
        await merge("lacks approving reviews")
        review = "SELECT review_pull($1, $2, 'hm')"
        with pytest.raises(asyncpg.PostgresError):
            await worker.execute(review, pull.number, "approved")
        await person.execute(review, pull.number, "changes_requested")
        await merge("lacks approving reviews")
        await person.execute(review, pull.number, "approved")
        view = await forge.look(origin.name, pull.number)
        assert view is not None
        assert [item.state for item in view.reviews] == [ReviewState.APPROVED]
        assert {check.state for check in view.checks} == {CheckState.PASSED}
        assert view.pull.mergeable is Mergeable.CLEAN
        origin.push("main", {"README": "new\n"}, start="origin/main")
        behind = await forge.look(origin.name, pull.number, view.stamp)
        assert behind is not None
        assert behind.pull.mergeable is Mergeable.BEHIND
        await merge("is behind main")
        await operator.execute("SELECT protect_repository($1, ARRAY['ci'], 1)", origin.name)
        done = await forge.merge(origin.name, pull.number, head, "Title", "Body")
        assert (done.state, done.ended_by) == ("merged", worker_login.name)
