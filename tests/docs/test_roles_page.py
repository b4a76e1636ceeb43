"""The sixth role of docs/roles.md loads, keeps the rules of role files, and does a task."""

from __future__ import annotations

from pathlib import Path

import pytest

from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.app.role_files import load_role
from juggernaut.lifecycle.execute import run_attempt
from juggernaut.role import Role
from tests.adapters.forges.repos import make_origin
from tests.docs.blocks import REPO, blocks_of
from tests.fakes.puppets import PuppetAgent
from tests.fixtures_postgres import Database, Login
from tests.roles.bench import CRITERIA, GOOD_SLUG, SLUG_FILES, Bench, make_services
from tests.tidy import python_rules


@pytest.fixture
def source() -> str:
    """The text of the example."""
    page = (REPO / "docs" / "roles.md").read_text(encoding="utf-8")
    (example,) = [block.text for block in blocks_of(page) if block.language == "python"]
    return example


@pytest.fixture
def role(source: str, tmp_path: Path) -> Role:
    """The example, as the daemon loads it."""
    path = tmp_path / "auditor.py"
    path.write_text(source, encoding="utf-8")
    return load_role(path)


def test_it_keeps_the_rules_of_role_files(source: str) -> None:
    """Imports, docstrings, annotations."""
    assert python_rules.role_imports(source) == []
    assert python_rules.missing_docstrings(source) == []
    assert python_rules.missing_annotations(source) == []


async def test_it_does_a_task_once_it_is_granted(
    role: Role, tmp_path: Path, database: Database, worker_login: Login
) -> None:
    """Nothing without the grant; red without a LICENSE; then evidence."""
    origin = make_origin(tmp_path, SLUG_FILES)
    operator = await database.connect()
    async with open_pool(database.url_for(worker_login.name, worker_login.password), size=4) as db:
        services = make_services(db, tmp_path / "root", origin, PuppetAgent({}), None)
        bench = Bench(services, operator, operator, origin, {})
        task = await bench.add_task(
            "verification", assigned_worker=role.name, acceptance_criteria=CRITERIA
        )
        assert await bench.claim(role.name, role.task_types) is None
        reason = await operator.fetchval("SELECT reason FROM why($1)", task)
        assert reason == "no live worker auditor is granted task type verification"
        await operator.execute("SELECT grant_capability('auditor', 'verification')")
        ends = [await attempted(bench, role)]
        sha = origin.push("main", {"LICENSE": "free", "slug.py": GOOD_SLUG})
        await bench.retry_now(task)
        ends.append(await attempted(bench, role))
        assert ends == ["retry", "completed"]
        assert (await bench.facts(task))["sha"] == sha


async def attempted(bench: Bench, role: Role) -> str:
    """Claim the task and do it; gives the last word."""
    found = await bench.claim(role.name)
    assert found is not None
    return await run_attempt(bench.services, role, found, lambda: False)
