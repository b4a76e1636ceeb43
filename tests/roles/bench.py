"""A whole small swarm for one test: real database, git, forge, sandbox; puppets for the rest."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast
from uuid import UUID

import asyncpg
import yaml

from juggernaut.adapters.clock import SystemClock
from juggernaut.adapters.forges.local import LocalForge
from juggernaut.adapters.forges.workspace import GitWorkspaces
from juggernaut.adapters.postgres.store import PgStore
from juggernaut.adapters.postgres.store_pulls import PgPulls
from juggernaut.adapters.sandboxes.bare import BareSandbox
from juggernaut.app.resources import read_prompts
from juggernaut.app.role_files import load_role
from juggernaut.domain.model import Claim, Session, WorkerId
from juggernaut.domain.redact import Secret
from juggernaut.domain.risk import read_policy
from juggernaut.lifecycle.attempt import Services, WorkSettings
from juggernaut.lifecycle.claim import claim
from juggernaut.lifecycle.execute import run_attempt
from juggernaut.ports import CodeAgent, Models
from juggernaut.role import Role
from tests.adapters.forges.repos import Origin

REPO = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
FAKE_SECRET = "FAKE-canary-0123456789"
SLUG_FILES = {
    "slug.py": 'def slug(text: str) -> str:\n    return text.replace(" ", "_")\n',
    "test_slug.py": (
        "import unittest\n\nfrom slug import slug\n\n\n"
        "class TestSlug(unittest.TestCase):\n"
        "    def test_dash(self):\n"
        '        self.assertEqual(slug("a b"), "a-b")\n'
    ),
    "README.md": "# Slug\n\nMakes slugs.\n",
}
GOOD_SLUG = 'def slug(text: str) -> str:\n    return text.replace(" ", "-")\n'
BAD_SLUG = 'def slug(text: str) -> str:\n    return text.replace(" ", "+")\n'
TESTS = (PYTHON, "-m", "unittest", "-q")
CHECK = [PYTHON, "-c", "from slug import slug; assert slug('a b') == 'a-b'"]
CRITERIA = json.dumps([{"text": "slug joins with dashes", "check": CHECK}])


Approver = Callable[[UUID], Awaitable[None]]


@dataclass(slots=True)
class Bench:
    """One process of a swarm, and an operator who looks at the database."""

    services: Services
    operator: asyncpg.Connection[asyncpg.Record]
    approver: asyncpg.Connection[asyncpg.Record]
    origin: Origin
    sessions: dict[str, Session]

    @property
    def by_hand(self) -> LocalForge:
        """The local forge as an operator uses it: a worker's login would have to hold the task."""
        pool = cast("asyncpg.Pool[asyncpg.Record]", self.operator)
        return LocalForge(PgPulls(pool), self.origin.bare.parent / "root")

    async def add_task(self, task_type: str, **columns: object) -> UUID:
        """Insert a task as a person would."""
        values = {"title": "Fix the slug", "description": "It should join with dashes."}
        row = {**values, **columns, "task_type": task_type}
        names = ", ".join(row)
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        given = [json.dumps(v) if isinstance(v, dict) else v for v in row.values()]
        found: UUID = await self.operator.fetchval(
            f"INSERT INTO governance_tasks ({names}) VALUES ({places}) RETURNING id", *given
        )
        return found

    async def claim(self, role: str, handles: tuple[str, ...] = ()) -> Claim | None:
        """Claim one task in the role's one session; a role of the test says what it handles."""
        store = self.services.store
        if role not in self.sessions:
            meta = {"version": "0", "host": "test", "pid": 1}
            self.sessions[role] = await store.open_session(
                WorkerId(f"{role}-1"), role, handles or role_named(role).task_types, meta
            )
        found = await claim(store, self.sessions[role], 1)
        return found[0] if found else None

    async def work(self, role: str) -> str:
        """Claim one task and do it; gives the last word."""
        found = await self.claim(role)
        assert found is not None, "there is nothing to claim"
        return await self.attempt(role, found)

    async def attempt(self, role: str, found: Claim, stopping: bool = False) -> str:
        """Do a claimed task; gives the last word."""
        return await run_attempt(self.services, role_named(role), found, lambda: stopping)

    async def approve(self, task: UUID) -> None:
        """Approve what waits, as an approver would."""
        await approve(self.approver, task)

    async def retry_now(self, task: UUID) -> None:
        """Let a task that waits for its next attempt be due."""
        await self.operator.execute(
            "UPDATE governance_tasks SET run_after = NULL WHERE id = $1", task
        )

    async def task(self, task: UUID) -> asyncpg.Record:
        """Read a task's row."""
        found = await self.operator.fetchrow("SELECT * FROM governance_tasks WHERE id = $1", task)
        assert found is not None
        return found

    async def facts(self, task: UUID) -> dict[str, object]:
        """Read the evidence of a completed task."""
        found = await self.operator.fetchval("SELECT facts FROM proof WHERE task_id = $1", task)
        facts: dict[str, object] = json.loads(found)
        return facts

    async def rows(self, query: str, *values: object) -> Sequence[asyncpg.Record]:
        """Read rows as the operator."""
        return await self.operator.fetch(query, *values)

    def use(self, *, agent: CodeAgent | None = None, models: Models | None = None) -> None:
        """Change who does the work."""
        self.services = replace(
            self.services,
            agent=agent or self.services.agent,
            models=models or self.services.models,
        )


async def approve(approver: asyncpg.Connection[asyncpg.Record], task: UUID) -> None:
    """Approve what waits, from an approver's connection."""
    digest = await approver.fetchval(
        "SELECT digest FROM pending_approvals WHERE task_id = $1", task
    )
    await approver.execute("SELECT approve_task($1, 'fine', $2)", task, digest)


def role_named(name: str) -> Role:
    """Load one of the five roles, as the daemon does."""
    return load_role(REPO / "roles" / f"{name}.py")


def make_services(
    pool: asyncpg.Pool[asyncpg.Record],
    folder: Path,
    origin: Origin,
    agent: CodeAgent,
    models: Models | None,
) -> Services:
    """Put the services of a test together."""
    policy: Mapping[str, object] = yaml.safe_load((REPO / "config/policy.yaml").read_text())
    return Services(
        store=PgStore(pool),
        models=models,
        agent=agent,
        forge=LocalForge(PgPulls(pool), folder),
        workspaces=GitWorkspaces(folder),
        sandbox=BareSandbox(folder / "scratch"),
        clock=SystemClock(),
        policy=read_policy(policy),
        prompts=read_prompts(REPO / "config/prompts"),
        settings=WorkSettings(origin.name, TESTS, (Secret(FAKE_SECRET),), allow_bare=True),
    )
