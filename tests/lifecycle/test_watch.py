"""Tidying up acts on the branch of the task, whatever a watch in the database names."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast
from uuid import UUID

import pytest

from juggernaut.domain.errors import LawRefused
from juggernaut.domain.model import Json, TaskId
from juggernaut.domain.pulls import branch_name
from juggernaut.lifecycle.attempt import Services
from juggernaut.lifecycle.watch import follow_pulls

TASK = TaskId(UUID("0190c0de-0000-7000-8000-000000000001"))
OWN = branch_name(TASK)


@dataclass
class Watched:
    """A store with one watch and a forge with one pull request; notes what is done to them."""

    row: Json
    branch: str = OWN
    refusal: Exception | None = None
    done: list[str] = field(default_factory=list)

    async def take_watches(self, most: int) -> list[Json]:
        """Give the watch."""
        return [self.row]

    async def drop_watch(self, task: UUID) -> bool:
        """Note it."""
        self.done.append("dropped")
        return True

    async def look(self, repo: str, number: int, seen: str = "") -> object:
        """Show an open pull request of the branch."""
        if self.refusal:
            raise self.refusal
        return SimpleNamespace(pull=SimpleNamespace(state="open", head_branch=self.branch))

    async def close_pull(self, repo: str, number: int, reason: str) -> None:
        """Note it."""
        self.done.append(f"closed {number}")

    async def delete_branch(self, repo: str, branch: str, expected: str) -> bool:
        """Note it."""
        self.done.append(f"deleted {branch}")
        return True


def watched(status: str, branch: str) -> Watched:
    """A watch of a task that is over."""
    place = {"repo": "acme/app", "branch": branch, "number": 7, "head": "a" * 40}
    return Watched({"task_id": str(TASK), "status": status, **place}, branch)


async def followed(world: Watched) -> Json:
    """Let the duty look once."""
    services = SimpleNamespace(store=world, forge=world, settings=SimpleNamespace(secrets=()))
    return await follow_pulls(cast(Services, services))


@pytest.mark.parametrize("branch", [OWN, "release-2026", "main", f"feature/{UUID(int=2)}"])
async def test_only_the_own_branch_is_deleted(branch: str) -> None:
    """A watch over another one is dropped, and nothing else happens."""
    world = watched("completed", branch)
    assert (await followed(world))["tidied"] == 1
    assert world.done == ([f"deleted {OWN}"] if branch == OWN else []) + ["dropped"]


@pytest.mark.parametrize("branch", [OWN, "feature/of-a-person"])
async def test_only_the_own_pull_request_is_closed(branch: str) -> None:
    """The number may be anybody's; its branch tells."""
    world = watched("cancelled", branch)
    assert (await followed(world))["tidied"] == 1
    assert world.done == (["closed 7"] if branch == OWN else []) + ["dropped"]


async def test_a_task_that_was_claimed_meanwhile_is_asked_about_again() -> None:
    """The law keeps a pull request for who holds its task; the other watches are looked at."""
    world = watched("cancelled", OWN)
    world.refusal = LawRefused("the pull request belongs to another login")
    assert (await followed(world))["unanswered"] == 1
    assert world.done == []
