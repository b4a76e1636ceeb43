"""Whose check counts, what a named check proves, and what an accepted criterion unblocks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.fixtures_postgres import Database, Login, fresh_login
from tests.store.swarm import Swarm, open_swarm

CHECK = "SELECT juggernaut.check_post_v1('r', $1, 'ci', $2, '')"
GREEN = "SELECT passed FROM juggernaut.checks WHERE sha = $1"
WRONG = "SELECT juggernaut.fact_is_wrong($1::text, jsonb_build_object($1::text, $2::text::jsonb))"
BLOCK = (
    "UPDATE governance_tasks SET status = 'blocked', blocked_reason = 'x', blocked_owner = $2,"
    " blocked_at = now() WHERE id = $1"
)
SHA, OWN = "5" * 40, "6" * 40
RED: tuple[dict[str, object], ...] = (
    {"exit_code": 1},
    {"exit_code": "1"},
    {"exit_code": None},
    {"passed": False},
    {"timed_out": True},
    {"status": "failed"},
)


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


async def test_a_push_written_down_later_takes_no_check(
    swarm: Swarm, database: Database, worker_login: Login
) -> None:
    """Over another's check writes who confirmed the push of this commit before that check."""
    mine = await database.connect(worker_login)
    async with fresh_login(database, "juggernaut_worker") as login:
        rival = await database.connect(login)
        task = await swarm.add(task_type="code", repo="r")
        claim = await swarm.claim_one(await swarm.worker("a", "executor"))
        store = swarm.store
        await rival.execute(CHECK, SHA, False)
        late = await store.intend(claim.lease, "push", f"feature/{task}@{SHA}", {"head": SHA})
        assert late and await store.confirm(claim.lease, late.id, {})
        await rival.execute(CHECK, SHA, False)  # said again, it is still of the first time
        with pytest.raises(asyncpg.PostgresError, match="posted by another login"):
            await mine.execute(CHECK, SHA, True)
        assert await swarm.operator.fetchval(GREEN, SHA) is False

        own = await store.intend(claim.lease, "push", f"feature/{task}@{OWN}", {"head": OWN})
        assert own
        await swarm.operator.execute(
            "INSERT INTO juggernaut.checks (repo, sha, name, passed, details, posted_by, posted_at)"
            " VALUES ('r', $1, 'ci', false, '', 'another', now())",
            OWN,
        )
        with pytest.raises(asyncpg.PostgresError, match="posted by another login"):
            await mine.execute(CHECK, OWN, True)
        assert await store.confirm(claim.lease, own.id, {})
        await mine.execute(CHECK, OWN, True)
        assert await swarm.operator.fetchval(GREEN, OWN) is True


async def test_accepting_unblocks_what_waits_for_it(swarm: Swarm) -> None:
    """And neither what waits for something else nor what waits for another criterion."""
    for owner, status in (
        ("operator", "blocked"),
        ("a person: SELECT accept_criterion('{}', 2, 'note')", "blocked"),
        ("a person: SELECT accept_criterion('{}', 1, 'note', 'a')", "pending"),
    ):
        task = await swarm.add(acceptance_criteria="a\nb")
        await swarm.operator.execute(BLOCK, task, owner.format(task))
        await swarm.operator.execute("SELECT accept_criterion($1, 1, 'I looked')", task)
        found = "SELECT status FROM governance_tasks WHERE id = $1"
        assert await swarm.operator.fetchval(found, task) == status, owner


async def test_red_checks_and_empty_commands_are_no_facts(swarm: Swarm) -> None:
    """A check that is named with a red result, and a command that nobody can read."""
    bad = (
        *(("checks", [{"name": "lint", **red}]) for red in RED),
        ("checks", [{"name": "a"}, 1]),
        ("command", [[]]),
        ("command", ["\u200b"]),
        ("command", "\u2060"),
    )
    good = (("checks", [{"name": "a", "exit_code": 0}, "b"]), ("command", ["["]))
    for facts, wrong in ((bad, True), (good, False)):
        for fact, value in facts:
            found = await swarm.operator.fetchval(WRONG, fact, json.dumps(value))
            assert found is wrong, value
