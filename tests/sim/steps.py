"""The real steps of a change against fakes that hand every question to the explorer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import cast
from uuid import UUID

from juggernaut.domain.errors import JuggernautError, LeaseLost, Parked
from juggernaut.domain.model import (
    EffectRecord,
    Json,
    Lease,
    Priority,
    Risk,
    Sha,
    Task,
    TaskId,
)
from juggernaut.domain.pull_steps import PullState
from juggernaut.domain.pulls import Change, Pull
from juggernaut.domain.risk import Policy
from juggernaut.domain.states import TaskStatus
from juggernaut.lifecycle import change
from juggernaut.lifecycle.attempt import Attempt, Services
from juggernaut.lifecycle.draft import Landed
from juggernaut.ports import (
    Clock,
    CodeAgent,
    Forge,
    Sandbox,
    Store,
    Workspace,
    Workspaces,
)
from tests.sim.explorer import ENDED, Atlas, Call, Move, State
from tests.sim.world import BASE, FENCED, REPO, Rules, World, answer, holds

SECRET = UUID(int=1)
TASK = Task(
    id=TaskId(UUID(int=2)),
    title="One task",
    description="",
    task_type="code",
    priority=Priority.MEDIUM,
    risk=Risk.LOW,
    status=TaskStatus.IN_PROGRESS,
    criteria=(),
    repo=REPO,
)


class RowLock:
    """The row lock of the store."""

    async def __aenter__(self) -> None:
        """Lock."""
        await Call("lock")

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Let go; a program that is only put away asks nothing any more."""
        if kind is not GeneratorExit:
            await Call("unlock")


class FakeStore:
    """What the steps ask of the store: each method is one step of the world."""

    def __init__(self, rules: Rules) -> None:
        """Lock rows as the protocol does."""
        self._rules = rules

    async def intend(self, lease: Lease, kind: str, key: str, request: Json) -> EffectRecord | None:
        """Write an effect down."""
        return cast(EffectRecord | None, await Call("intend", (kind, key)))

    async def confirm(self, lease: Lease, effect_id: int, result: Json) -> bool:
        """Write an effect's result."""
        told = json.dumps(result, default=list)
        return bool(await Call("confirm", (effect_id, told)))

    async def still_held(self, lease: Lease) -> bool:
        """Ask for the lease."""
        return bool(await Call("still_held"))

    async def note_pull(self, lease: Lease, repo: str, branch: str, number: int, head: Sha) -> bool:
        """Record the pull request."""
        return bool(await Call("note_pull", (number, head)))

    async def note_files(self, lease: Lease, repo: str, files: tuple[str, ...]) -> bool:
        """Record files; a lost lease is seen by the next call."""
        return True

    async def leave_turn(self, lease: Lease) -> bool:
        """Leave a turn that nobody has."""
        return True

    async def reported_merge(self, lease: Lease) -> None:
        """Nobody reports merges here."""

    async def pull_state(self, task: TaskId) -> PullState | None:
        """Give what is recorded of the pull request."""
        return cast(PullState | None, await Call("pull_state"))

    async def pushed(self, task: TaskId, key: str) -> str | None:
        """Say how far a push came."""
        return cast(str | None, await Call("pushed", (key,)))

    async def block(self, lease: Lease, reason: str, owner: str) -> bool:
        """Park the task; the person gives it back when the next attempt begins."""
        return bool(await Call("end"))

    def effect_lock(self, lease: Lease) -> AbstractAsyncContextManager[None]:
        """Lock the task's row, where the protocol does that."""
        return RowLock() if self._rules.row_lock else nullcontext()


class FakeForge:
    """What the steps ask of the forge: each method is one step of the world."""

    async def branch_head(self, repo: str, branch: str | None) -> Sha | None:
        """Give the branch's head."""
        return cast(Sha | None, await Call("branch_head"))

    async def find_pull(self, repo: str, head_branch: str) -> Pull | None:
        """Give the newest pull request."""
        return cast(Pull | None, await Call("find_pull"))

    async def open_pull(
        self,
        repo: str,
        head_branch: str,
        title: str,
        body: str,
        *,
        draft: bool = False,
        labels: Sequence[str] = (),
    ) -> Pull:
        """Open one."""
        return cast(Pull, await Call("open_pull"))

    async def merge(self, repo: str, number: int, expected: Sha, title: str, body: str) -> Pull:
        """Merge it."""
        return cast(Pull, await Call("merge", (number, expected)))


class FakeTree:
    """A work tree whose only power is the push."""

    async def push(self, changed: Change, expected: Sha | None) -> None:
        """Push from the head that is expected."""
        await Call("push", (changed.head, expected))


async def land(attempt: Attempt) -> None:
    """Bring a change to its merge and complete, by the real steps in the executor's order."""
    found = await change.find_draft(attempt)
    if not isinstance(found, Landed):
        draft = found
        if draft is None:
            number = attempt.lease.fence
            changed = Change(Sha(f"head{number}"), BASE, f"diff{number}", ("a.py",), 1, 0)
            tree = cast(Workspace, FakeTree())
            draft = await change.push(attempt, tree, changed, {"name": "puppet", "answers": 0})
        await Call("verify", (draft.head,))
        pull = await change.open_pull(attempt, draft, "")
        await change.merge(attempt, draft, pull, "")
    attempt.holds(bool(await Call("complete")))


async def one_attempt(services: Services, number: int) -> None:
    """Run one attempt to its last word."""
    attempt = Attempt(services, TASK, Lease(TASK.id, number, SECRET, 0.0))
    try:
        await land(attempt)
    except (LeaseLost, Parked):
        return
    except JuggernautError:
        await Call("end")


def services_of(rules: Rules) -> Services:
    """Give the services that the steps of this file use, and no others."""
    unused = cast(Services, None)
    return Services(
        store=cast(Store, FakeStore(rules)),
        models=None,
        agent=cast(CodeAgent, unused),
        forge=cast(Forge, FakeForge()),
        workspaces=cast(Workspaces, unused),
        sandbox=cast(Sandbox, unused),
        clock=cast(Clock, unused),
        policy=cast(Policy, unused),
        prompts={},
    )


class Swarm:
    """Attempts at one task under a protocol, as states and moves for the explorer."""

    def __init__(self, rules: Rules) -> None:
        """Take the protocol."""
        services = services_of(rules)
        self._rules = rules
        self._atlas = Atlas(lambda number: one_attempt(services, number))

    def first(self) -> State[World]:
        """Give the state before the first claim."""
        return State(World(), ())

    def moves(self, state: State[World]) -> Iterator[Move[World]]:
        """Give every step that somebody can take now: attempts, the clock, claims, deaths."""
        world, positions = state.world, state.positions
        for index, position in enumerate(positions):
            if position != ENDED:
                yield from self._steps(state, index)
        if self._rules.fence and world.held and not world.done:
            yield "the lease expires", self._settled(world._replace(held=False), positions)
        fewer = world.fence < self._rules.attempts and not world.done
        if fewer and not world.locked and not (world.held and self._rules.fence):
            number = world.fence + 1
            begun = (*positions, self._atlas.begin(number))
            yield f"{number} claims", self._settled(world._replace(fence=number, held=True), begun)
        if world.locked:
            gone = tuple(
                ENDED if number == world.locked else position
                for number, position in enumerate(positions, 1)
            )
            unlocked = world._replace(locked=0)
            yield f"{world.locked} is killed", self._settled(unlocked, gone)
            if self._rules.lock_lost:
                yield f"{world.locked} loses the lock", self._settled(unlocked, positions)

        if self._rules.stranger and world.branch and not world.disturbed:
            pushed = world._replace(branch="strange", disturbed=True)
            yield "a stranger pushes", self._settled(pushed, positions)

    def _steps(self, state: State[World], index: int) -> Iterator[Move[World]]:
        """Let one attempt take its next step."""
        call = self._atlas.waits_in(state.positions[index])
        for world, told in answer(self._rules, state.world, index + 1, call):
            then = self._atlas.after(state.positions[index], told)
            moved = (*state.positions[:index], then, *state.positions[index + 1 :])
            yield f"{index + 1} {call.name} {call.values}", self._settled(world, moved)

    def _settled(self, world: World, positions: tuple[int, ...]) -> State[World]:
        """Take at once what goes only one way: fenced calls of attempts that lost their lease."""
        settled = []
        for number, position in enumerate(positions, 1):
            while position != ENDED and not holds(self._rules, world, number):
                call = self._atlas.waits_in(position)
                if call.name not in FENCED:
                    break
                ((_, told),) = answer(self._rules, world, number, call)
                position = self._atlas.after(position, told)
            settled.append(position)
        return State(world, tuple(settled))
