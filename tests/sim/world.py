"""The world of one task as a value: its row and ledger, the branch and pulls at the forge.

`answer` is one atomic step of the store or of the forge; what each protocol leaves out stands in
Rules, so that a broken one is the same code with one field changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from juggernaut.domain.errors import (
    ForgeError,
    ForgeUnreachable,
    HeadMoved,
    LeaseLost,
    NothingToMerge,
)
from juggernaut.domain.model import EffectRecord, Sha
from juggernaut.domain.pull_steps import PullState
from juggernaut.domain.pulls import Pull
from tests.sim.explorer import Call

REPO = "owner/one"
BASE = Sha("base")


@dataclass(frozen=True, slots=True)
class Rules:
    """A protocol: how many attempts there are, how the forge merges, and what is left out."""

    attempts: int
    squash: bool = False
    row_lock: bool = False
    fence: bool = True
    ledger: bool = True  # what is confirmed is not done again
    looks: bool = True  # the forge is asked before anything is done
    expected_push: bool = True
    expected_merge: bool = True
    keeps_branch: bool = True
    lock_lost: bool = False
    replies_lost: bool = False
    stranger: bool = False  # somebody else pushes to the branch, once


class Effect(NamedTuple):
    """One row of the ledger; an empty result means intended."""

    kind: str
    key: str
    result: str


class World(NamedTuple):
    """Everything that attempts share; `locked` is the attempt that holds the row, or 0."""

    fence: int = 0
    held: bool = False
    done: bool = False
    locked: int = 0
    effects: tuple[Effect, ...] = ()
    noted: tuple[int, str] | None = None
    branch: str | None = None
    contained: frozenset[str] = frozenset()  # heads that the default branch has
    pulls: tuple[str, ...] = ()  # the head that was merged; empty while open
    merges: int = 0
    verified: frozenset[str] = frozenset()
    disturbed: bool = False


Outcome = tuple[World, object]
Step = Callable[[Rules, World, int, tuple[object, ...]], Outcome]


def broken(world: World) -> str:
    """Name the promise that a world breaks."""
    if len(world.pulls) > 1:
        return "second pull request"
    if world.merges > 1:
        return "second merge"
    if any(head and head not in world.verified for head in world.pulls):
        return "merge of a commit that was not verified"
    return ""


def holds(rules: Rules, world: World, attempt: int) -> bool:
    """Say whether an attempt's lease is good; for ever false once it is not."""
    return not rules.fence or (world.held and world.fence == attempt and not world.done)


def answer(rules: Rules, world: World, attempt: int, call: Call) -> Sequence[Outcome]:
    """Carry out one call; several outcomes where the forge's reply may be lost."""
    outcome = STEPS[call.name](rules, world, attempt, call.values)
    if rules.replies_lost and call.name in FORGE_WRITES and outcome[0] != world:
        return (outcome, (outcome[0], ForgeUnreachable("the reply was lost")))
    return (outcome,)


def _fenced(rules: Rules, world: World, attempt: int, changed: World) -> Outcome:
    """Let a write of the lease's holder land, and no other."""
    landed = holds(rules, world, attempt)
    return (changed if landed else world), landed


def _intend(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Give what the ledger has of an effect, or write it down as intended."""
    if not holds(rules, world, attempt):
        return world, None
    kind, key = str(values[0]), str(values[1])
    for number, effect in enumerate(world.effects):
        if (effect.kind, effect.key) == (kind, key):
            told = effect.result if rules.ledger else ""
            result = json.loads(told) if told else None
            state = "confirmed" if told else "intended"
            return world, EffectRecord(number, kind, key, state, result)
    record = EffectRecord(len(world.effects), kind, key, "intended", None)
    return world._replace(effects=(*world.effects, Effect(kind, key, ""))), record


def _confirm(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Write an effect's result."""
    number, effects = int(str(values[0])), list(world.effects)
    effects[number] = effects[number]._replace(result=str(values[1]))
    return _fenced(rules, world, attempt, world._replace(effects=tuple(effects)))


def _still_held(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Say whether the lease is good."""
    return world, holds(rules, world, attempt)


def _note_pull(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Record the pull request and our head."""
    noted = (int(str(values[0])), str(values[1]))
    return _fenced(rules, world, attempt, world._replace(noted=noted))


def _end(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """End an attempt; the next one may begin (at once, or when a person gave the task back)."""
    return _fenced(rules, world, attempt, world._replace(held=False))


def _complete(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Complete the task."""
    return _fenced(rules, world, attempt, world._replace(held=False, done=True))


def _lock(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Lock the row, for the lease's holder."""
    if not holds(rules, world, attempt):
        return world, LeaseLost("the row is another attempt's")
    return world._replace(locked=attempt), None


def _unlock(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Let the row go, unless it was lost before."""
    return (world._replace(locked=0) if world.locked == attempt else world), None


def _pull_state(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Give what is recorded of the pull request."""
    if world.noted is None:
        return world, None
    return world, PullState(world.noted[0], Sha(world.noted[1]), frozenset())


def _pushed(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Say how far a push of this task came."""
    for effect in world.effects:
        if (effect.kind, effect.key) == ("push", values[0]):
            return world, "confirmed" if effect.result else "intended"
    return world, None


def _branch_head(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Give the head of the task's branch."""
    return world, None if world.branch is None else Sha(world.branch)


def _find_pull(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Give the newest pull request of the task's branch."""
    return world, _newest(world) if rules.looks and world.pulls else None


def _open_pull(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Open a pull request: one per branch, and none where the base has the head."""
    if world.branch is None:
        return world, ForgeError("push the branch first")
    if "" in world.pulls:
        return world, _newest(world)
    if world.branch in world.contained:
        return world, NothingToMerge("no commits between base and head")
    world = world._replace(pulls=(*world.pulls, ""))
    return world, _newest(world)


def _merge(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Merge the head that is expected; a squash leaves the head out of the base."""
    number, expected = int(str(values[0])), str(values[1])
    merged = world.pulls[number - 1]
    if merged:
        known = merged == expected or not rules.expected_merge
        return world, _newest(world) if known else HeadMoved(f"merged at {merged}")
    if world.branch is None or (world.branch != expected and rules.expected_merge):
        return world, HeadMoved(f"the branch is at {world.branch}")
    head = world.branch
    world = world._replace(
        pulls=(*world.pulls[: number - 1], head, *world.pulls[number:]),
        merges=world.merges + 1,
        contained=world.contained if rules.squash else world.contained | {head},
        branch=head if rules.keeps_branch else None,
    )
    return world, _newest(world)


def _push(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Move the branch from exactly the head that is expected."""
    head, expected = str(values[0]), values[1]
    if world.branch != expected and rules.expected_push:
        return world, HeadMoved(f"the branch is at {world.branch}")
    return world._replace(branch=head), None


def _verify(rules: Rules, world: World, attempt: int, values: tuple[object, ...]) -> Outcome:
    """Note that a commit was verified."""
    return world._replace(verified=world.verified | {str(values[0])}), None


def _newest(world: World) -> Pull:
    """Show the newest pull request as the port has it."""
    head = world.pulls[-1]
    return Pull(
        number=len(world.pulls),
        url="",
        head_branch="",
        head_sha=Sha(head or world.branch or ""),
        base_branch="main",
        state="merged" if head else "open",
        merged_sha=Sha(f"merge of {head}") if head else None,
    )


# Once its lease is lost, an attempt gets the same answer to these for ever, and changes nothing.
FENCED: frozenset[str] = frozenset(
    {"intend", "confirm", "still_held", "note_pull", "end", "complete", "lock"}
)
FORGE_WRITES: frozenset[str] = frozenset({"push", "open_pull", "merge"})
STEPS: Mapping[str, Step] = {
    "intend": _intend,
    "confirm": _confirm,
    "still_held": _still_held,
    "note_pull": _note_pull,
    "end": _end,
    "complete": _complete,
    "lock": _lock,
    "unlock": _unlock,
    "pull_state": _pull_state,
    "pushed": _pushed,
    "branch_head": _branch_head,
    "find_pull": _find_pull,
    "open_pull": _open_pull,
    "merge": _merge,
    "push": _push,
    "verify": _verify,
}
