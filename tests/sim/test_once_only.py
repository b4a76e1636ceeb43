"""F4, exhaustively: every interleaving of attempts at one task, through the real steps of a change.

Two attempts and three always; four under JUGGERNAUT_TRIALS=full. Attempts may pause for ever
before every call, leases may run out at any time, a holder of the row lock may be killed, replies
of the forge may be lost. Each protocol that leaves something out must be caught.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace

import pytest

from juggernaut.domain.model import Json
from juggernaut.lifecycle import change
from juggernaut.lifecycle.attempt import Attempt
from tests.invariants.trials import FULL, TRIAL_TIMEOUT_SECONDS
from tests.sim.explorer import Found, explore
from tests.sim.steps import Swarm
from tests.sim.world import Rules, World, broken

LOG = logging.getLogger(__name__)
SQUASH = Rules(attempts=2, squash=True, row_lock=True)
MERGE = Rules(attempts=2, row_lock=True)
UNLOCKED = replace(MERGE, row_lock=False)
SECOND_PULL = "second pull request"
UNVERIFIED = "merge of a commit that was not verified"
# Least numbers of states: a search that finds fewer has lost its interleavings.
LEAST = {2: 500, 3: 5_000, 4: 50_000}
MOST_ATTEMPTS = 4 if FULL else 3


@dataclass(slots=True)
class Ends:
    """What worlds a search has seen, so that one in which nothing happens is no success."""

    completed: int = 0
    merged: int = 0

    def look(self, world: World) -> str:
        """Count a world, and name what it breaks."""
        self.completed += world.done
        self.merged += world.merges
        return broken(world)


def search(rules: Rules) -> tuple[Found, Ends]:
    """Explore a protocol; `-o log_cli=true --log-level=info` shows how many states there were."""
    swarm, ends = Swarm(rules), Ends()
    found = explore(swarm.first(), swarm.moves, ends.look)
    LOG.info("%s states, %s: %s", found.states, found.broken or "nothing broken", rules)
    return found, ends


HOLDS = {
    "squash, row lock": SQUASH,
    "merge commit, row lock": MERGE,
    "squash, row lock, replies lost": replace(SQUASH, replies_lost=True),
    "merge commit, row lock, replies lost": replace(MERGE, replies_lost=True),
    "squash, row lock, a stranger pushes": replace(SQUASH, stranger=True),
    "merge commit, row lock, a stranger pushes": replace(MERGE, stranger=True),
    "squash, row lock, branch deleted": replace(SQUASH, keeps_branch=False),
}


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
@pytest.mark.parametrize("attempts", range(2, MOST_ATTEMPTS + 1))
@pytest.mark.parametrize("name", HOLDS)
def test_one_pull_request_and_one_merge(name: str, attempts: int) -> None:
    """No state breaks a promise, and tasks do complete on some of the ways."""
    found, ends = search(replace(HOLDS[name], attempts=attempts))
    assert not found.broken, "\n".join([found.broken, *found.trace])
    assert found.states >= LEAST[attempts]
    assert ends.completed
    assert ends.merged


MUTANTS = {
    "no fence": (replace(SQUASH, fence=False), SECOND_PULL),
    "no fence, nothing looked up": (
        replace(UNLOCKED, fence=False, ledger=False, looks=False),
        SECOND_PULL,
    ),
    "nothing looked up, squash": (replace(SQUASH, ledger=False, looks=False), SECOND_PULL),
    "nothing looked up, merge commit": (replace(MERGE, ledger=False, looks=False), SECOND_PULL),
    "the ledger does not look up, no lock": (replace(UNLOCKED, ledger=False), SECOND_PULL),
    "squash without row lock": (replace(SQUASH, row_lock=False), SECOND_PULL),
    "a row lock that can be lost": (replace(SQUASH, lock_lost=True), SECOND_PULL),
    "branch deleted after the merge": (
        replace(UNLOCKED, attempts=3, keeps_branch=False),
        SECOND_PULL,
    ),
    "push without expected sha": (
        replace(UNLOCKED, attempts=3, expected_push=False),
        SECOND_PULL,
    ),
    "merge without expected sha": (
        replace(UNLOCKED, attempts=3, expected_merge=False),
        UNVERIFIED,
    ),
    "merge without expected sha, row lock, a stranger pushes": (
        replace(SQUASH, stranger=True, expected_merge=False),
        UNVERIFIED,
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_protocol_that_leaves_something_out(name: str) -> None:
    """Each is caught, with the violation that it makes possible."""
    rules, expected = MUTANTS[name]
    found, _ = search(rules)
    assert found.broken == expected
    assert found.trace


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
@pytest.mark.parametrize("attempts", range(2, MOST_ATTEMPTS + 1))
def test_merge_commits_alone(attempts: int) -> None:
    """Without the row lock they hold for three attempts: the fourth is why it is always taken.

    A push waits with the head that it saw; another attempt takes that head up and merges it; the
    push arrives, and a third attempt's late call opens a pull request of it.
    """
    found, _ = search(replace(UNLOCKED, attempts=attempts))
    assert found.broken == (SECOND_PULL if attempts == max(LEAST) else "")


async def performed(
    attempt: Attempt,
    kind: str,
    key: str,
    request: Json,
    *,
    look_up: Callable[[], Awaitable[Json | None]],
    perform: Callable[[], Awaitable[Json]],
    lasts: bool = True,
) -> Json:
    """Do it at once: no ledger, no fence, no look-up."""
    return await perform()


def unlocked(attempt: Attempt) -> AbstractAsyncContextManager[None]:
    """Lock nothing."""
    return nullcontext()


@pytest.mark.parametrize(
    ("name", "instead", "rules"),
    [("once", performed, UNLOCKED), ("row_lock", unlocked, SQUASH)],
    ids=["once", "row_lock"],
)
def test_the_model_drives_the_steps_themselves(
    monkeypatch: pytest.MonkeyPatch, name: str, instead: Callable[..., object], rules: Rules
) -> None:
    """A guard that is taken out of the code is missed by the model."""
    monkeypatch.setattr(change, name, instead)
    found, _ = search(rules)
    assert found.broken == SECOND_PULL
