"""Every way in which an attempt can end, on the real database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from juggernaut.domain import limits
from juggernaut.domain.errors import (
    BudgetExhausted,
    DatabaseUnreachable,
    ForgeBusy,
    ForgeUnauthorized,
    ForgeUnreachable,
    InvalidInput,
    LeaseLost,
    ModelUnavailable,
    Released,
)
from juggernaut.domain.model import Completion, Evidence
from juggernaut.lifecycle import keep
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.execute import run_attempt
from tests.roles.bench import FAKE_SECRET, Bench

GOOD = Completion(
    Evidence("command", {"command": ["true"], "exit_code": 0, "output_digest": "0" * 64}), (), "ok"
)


@dataclass(frozen=True)
class Actor:
    """A role that does what the test says."""

    act: Callable[[Attempt], Awaitable[Completion]]
    name: str = "actor"

    async def perform(self, attempt: Attempt) -> Completion:
        """Act."""
        return await self.act(attempt)


async def run(
    bench: Bench,
    act: Callable[[Attempt], Awaitable[Completion]],
    *,
    stopping: bool = False,
    seconds: int = 60,
) -> str:
    """Add a command task, claim it and let an actor do it; gives the last word."""
    await bench.add_task("command", max_attempts=2, timeout_seconds=seconds)
    found = await bench.claim("executor")
    assert found is not None
    return await run_attempt(bench.services, Actor(act), found, lambda: stopping)


async def only_task(bench: Bench) -> tuple[str, int, str | None]:
    """Give status, attempts and reason of the only task."""
    row = (await bench.rows("SELECT * FROM governance_tasks"))[0]
    return row["status"], row["attempts"], row["error_message"] or row["blocked_reason"]


def raising(error: BaseException) -> Callable[[Attempt], Awaitable[Completion]]:
    """Make an act that raises."""

    async def act(attempt: Attempt) -> Completion:
        """Raise."""
        raise error

    return act


async def succeed(attempt: Attempt) -> Completion:
    """Do the task."""
    return GOOD


async def hang(attempt: Attempt) -> Completion:
    """Never end."""
    await asyncio.Event().wait()
    return GOOD


async def test_completed(bench: Bench) -> None:
    """Evidence in, task done, nothing left in the list of running attempts."""
    assert await run(bench, succeed) == "completed"
    assert (await only_task(bench))[0] == "completed"
    assert bench.services.running == set()
    actions = await bench.rows("SELECT action FROM execution_logs ORDER BY id")
    assert "task_start" in [row["action"] for row in actions]


@pytest.mark.parametrize(
    ("error", "word", "status", "attempts"),
    [
        (ModelUnavailable("overloaded"), "retry", "pending", 1),
        (InvalidInput("the payload makes no sense"), "failed", "failed", 1),
        (BudgetExhausted("purse day: cap 1"), "parked", "blocked", 1),
        (ForgeUnauthorized("the token is revoked"), "parked", "blocked", 1),
        (ForgeBusy("later", retry_after_seconds=90.0), "released", "pending", 0),
        (ForgeUnreachable("no answer"), "retry", "pending", 1),
        (Released("the worker stops"), "released", "pending", 0),
        (ZeroDivisionError("division"), "retry", "pending", 1),
        (asyncio.CancelledError(), "released", "pending", 0),
    ],
)
async def test_each_error_has_its_end(
    bench: Bench, error: BaseException, word: str, status: str, attempts: int
) -> None:
    """The last word and the row agree; only a failure counts as an attempt."""
    assert await run(bench, raising(error)) == word
    row = await only_task(bench)
    assert row[0] == status
    if word != "parked":
        assert row[1] == attempts


async def test_a_busy_forge_puts_the_task_off(bench: Bench) -> None:
    """Not before the time that it named, uncounted, and no slot is held meanwhile."""
    await run(bench, raising(ForgeBusy("asked to wait 90 s", retry_after_seconds=90.0)))
    row = (await bench.rows("SELECT run_after - now() AS left, attempts FROM governance_tasks"))[0]
    assert 60 < row["left"].total_seconds() <= 90
    assert row["attempts"] == 0
    assert await bench.claim("executor") is None
    ended = (await bench.rows("SELECT ended_as, error_message FROM juggernaut.attempts"))[0]
    assert tuple(ended) == ("released", "asked to wait 90 s")


async def test_a_refused_token_waits_for_a_person(bench: Bench) -> None:
    """The row names who has to act, and the watchdog raises an alert of it."""
    await run(bench, raising(ForgeUnauthorized("the token is revoked")))
    row = (await bench.rows("SELECT blocked_owner, attempts FROM governance_tasks"))[0]
    assert row["blocked_owner"].startswith("a person: give the token")
    assert row["attempts"] == 0
    await bench.services.store.detect()
    assert (await bench.rows("SELECT kind FROM open_alerts"))[0]["kind"] == "task_blocked"


async def test_what_nobody_foresaw_is_named(bench: Bench) -> None:
    """Class and text of an unknown error are kept, without secrets."""
    await run(bench, raising(ZeroDivisionError(f"by {FAKE_SECRET}")))
    row = (await bench.rows("SELECT error_code, error_message FROM juggernaut.attempts"))[0]
    assert row["error_code"] == "internal"
    assert "ZeroDivisionError: by [redacted]" in row["error_message"]


async def test_out_of_time(bench: Bench) -> None:
    """A task that takes longer than its timeout fails with that code, and its work is stopped."""
    stopped = asyncio.Event()

    async def act(attempt: Attempt) -> Completion:
        """Hang, and say when stopped."""
        try:
            return await hang(attempt)
        finally:
            stopped.set()

    assert await run(bench, act, seconds=1) == "retry"
    assert stopped.is_set()
    row = (await bench.rows("SELECT error_code FROM juggernaut.attempts"))[0]
    assert row["error_code"] == "timeout"


async def test_a_stopping_worker_gives_the_task_back(bench: Bench) -> None:
    """Cancelled from outside: released, unburned, and the cancellation goes on."""
    begun = asyncio.Event()

    async def act(attempt: Attempt) -> Completion:
        """Begin and hang."""
        begun.set()
        return await hang(attempt)

    work = asyncio.create_task(run(bench, act, stopping=True))
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert await only_task(bench) == ("pending", 0, None)


async def test_a_failure_of_a_stopping_worker_is_not_the_task_s(bench: Bench) -> None:
    """A child that died of the worker's own SIGTERM burns no attempt."""
    assert await run(bench, raising(ModelUnavailable("cut")), stopping=True) == "released"
    assert (await only_task(bench))[1] == 0


async def test_a_cancelled_task_stops_its_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch over the lease ends the work soon after a person cancelled the task."""
    monkeypatch.setattr(keep, "LEASE_CHECK_SECONDS", 0.05)

    async def act(attempt: Attempt) -> Completion:
        """Have the task cancelled, and hang."""
        await bench.operator.execute("SELECT cancel_task($1, 'not needed')", attempt.task.id)
        return await hang(attempt)

    assert await run(bench, act) == "lost"
    assert (await only_task(bench))[0] == "cancelled"


async def test_a_late_completion_changes_nothing(bench: Bench) -> None:
    """A holder that lost the task cannot complete it."""

    async def act(attempt: Attempt) -> Completion:
        """Have the task cancelled and finish all the same."""
        await bench.operator.execute("SELECT cancel_task($1, 'not needed')", attempt.task.id)
        return GOOD

    assert await run(bench, act) == "lost"
    assert await bench.rows("SELECT * FROM juggernaut.evidence") == []


async def test_evidence_that_proves_nothing_is_refused(bench: Bench) -> None:
    """A handler that composes too little fails its attempt for good; the reason is named."""

    async def act(attempt: Attempt) -> Completion:
        """Give prose for evidence."""
        return Completion(Evidence("command", {"note": "Done"}), (), "Done")

    assert await run(bench, act) == "failed"
    assert "exit_code is missing" in str((await only_task(bench))[2])


async def test_a_law_that_refuses_is_a_failure(bench: Bench) -> None:
    """Evidence of another kind passes our own check and not the database's."""

    async def act(attempt: Attempt) -> Completion:
        """Give evidence of another kind."""
        return Completion(Evidence("planning", {"task_ids": ["one"]}), (), "Planned")

    assert await run(bench, act) == "failed"
    assert "command task lacks" in str((await only_task(bench))[2])


async def test_a_database_that_is_away_for_a_moment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last write is repeated; the fence makes that harmless."""
    store, tries = bench.services.store, []
    real = store.complete

    async def flaky(*given: object) -> bool:
        """Lose the answer of the first write, which landed."""
        tries.append(await real(*given))  # type: ignore[arg-type]
        if len(tries) == 1:
            raise DatabaseUnreachable("connection reset")
        return tries[-1]

    monkeypatch.setattr(store, "complete", flaky, raising=False)
    assert await run(bench, succeed) == "completed"
    assert tries == [True, True]


async def test_a_lease_that_is_lost_needs_no_write(bench: Bench) -> None:
    """LeaseLost ends in silence: somebody else writes now."""
    assert await run(bench, raising(LeaseLost("taken over"))) == "lost"
    assert limits.STOP_SECONDS < limits.RELEASE_SECONDS
