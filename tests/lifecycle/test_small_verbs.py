"""claim, keep, ask, schedule, retry pauses: the small verbs of a task's life."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest

from juggernaut.domain import limits
from juggernaut.domain.errors import (
    DatabaseUnreachable,
    InvalidInput,
    InvariantBroken,
    LeaseLost,
    ModelGarbled,
)
from juggernaut.domain.exchange import ModelReply, ModelRequest
from juggernaut.domain.model import Claim, Json, Lease, TaskId
from juggernaut.lifecycle.ask import ask_structured
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.claim import claim
from juggernaut.lifecycle.complete import retry_after
from juggernaut.lifecycle.gather import words_of
from juggernaut.lifecycle.keep import keep
from juggernaut.lifecycle.schedule import next_time
from juggernaut.ports import Queue, Store
from tests.fakes.puppets import answer, says
from tests.roles.bench import Bench

SCHEMA: Json = {
    "type": "object",
    "required": ["n"],
    "properties": {"n": {"type": "integer", "minimum": 1}},
}


class OneQueue:
    """A queue that gives what the test put in."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        """Hold some claims."""
        self.claims = claims

    async def claim(self, *given: object) -> Sequence[Claim]:
        """Give them all."""
        return self.claims


async def test_a_claim_that_breaks_the_contract_is_not_acted_on(bench: Bench) -> None:
    """A type without a handler, a lease of another task, more than was asked for."""
    await bench.add_task("command")
    found = await bench.claim("executor")
    assert found is not None
    session = bench.sessions["executor"]
    powerless = replace(session, handles=("code",))
    other = replace(found, lease=replace(found.lease, task_id=TaskId(session.id)))
    for claims, holder, slots in (
        ([found], powerless, 1),
        ([other], session, 1),
        ([found, found], session, 1),
    ):
        with pytest.raises(InvariantBroken):
            await claim(cast(Queue, OneQueue(claims)), holder, slots)
    assert await claim(cast(Queue, OneQueue([found])), session, 0) == ()


class Watched:
    """A store and a clock at once: answers from a list, time that passes in sleep."""

    def __init__(self, answers: Sequence[bool | None]) -> None:
        """Begin at zero; None stands for no answer."""
        self.answers = list(answers)
        self.now = 0.0

    def monotonic(self) -> float:
        """Give the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    async def still_held(self, lease: Lease) -> bool:
        """Give the next answer; the last one for ever."""
        given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if given is None:
            raise DatabaseUnreachable("connection refused")
        return given


@pytest.mark.parametrize(
    ("answers", "ends_at"),
    [([False], 5.0), ([True, True, False], 15.0), ([None], 60.0), ([True, None], 65.0)],
)
async def test_the_watch_ends_before_the_lease_does(
    bench: Bench, answers: list[bool | None], ends_at: float
) -> None:
    """A no ends it at once; silence ends it no later than a lease after the last yes."""
    await bench.add_task("command")
    found = await bench.claim("executor")
    assert found is not None
    watched = Watched(answers)
    services = replace(bench.services, store=cast(Store, watched), clock=watched)
    lease = replace(found.lease, deadline_monotonic=60.0)
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(keep(Attempt(services, found.task, lease)), 5)
    assert watched.now <= ends_at


class Scripted:
    """An asker with replies in order."""

    def __init__(self, *replies: ModelReply) -> None:
        """Hold the replies."""
        self.replies = list(replies)
        self.requests: list[ModelRequest] = []

    async def __call__(self, request: ModelRequest) -> ModelReply:
        """Give the next reply."""
        self.requests.append(request)
        return self.replies.pop(0)


def number(given: Json) -> int:
    """Read a number that must not be 13."""
    value = given["n"]
    assert isinstance(value, int)
    if value == 13:
        raise InvalidInput("13 brings bad luck")
    return value


async def ask(*replies: ModelReply) -> tuple[int, Scripted]:
    """Ask for a number."""
    asker = Scripted(*replies)
    found = await ask_structured(
        asker, purpose="plan", system="", prompt="A number", schema=SCHEMA, read=number
    )
    return found, asker


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (says("seven"), "exactly once, not 0 times"),
        (answer({"n": 0}), "at least 1"),
        (answer({"n": 13}), "bad luck"),
        (answer({"n": "7"}), "must be integer"),
        (answer({"m": 7}), "lacks 'n'"),
        (answer({"n": 7}, tool="other"), "exactly once, not 0 times"),
    ],
)
async def test_a_wrong_answer_is_asked_for_once_more(wrong: ModelReply, told: str) -> None:
    """The model is told what was wrong; a second wrong one is garbled."""
    found, asker = await ask(wrong, answer({"n": 7}))
    assert found == 7
    last = asker.requests[1].messages[-1]
    assert told in (last.text or last.tool_results[0].text)
    assert asker.requests[1].force_tool == "answer"
    with pytest.raises(ModelGarbled, match="not in the agreed form"):
        await ask(wrong, wrong)


def test_pauses_grow_and_are_bounded() -> None:
    """30 s doubled per attempt, at most an hour, half of it jitter."""
    assert retry_after(1, 1.0) == limits.RETRY_BASE_SECONDS
    assert retry_after(1, 0.0) == limits.RETRY_BASE_SECONDS / 2
    assert retry_after(3, 1.0) == limits.RETRY_BASE_SECONDS * 4
    assert retry_after(50, 1.0) == limits.RETRY_CAP_SECONDS


@pytest.mark.parametrize(
    ("cron", "zone", "expected"),
    [
        ("0 3 * * *", "UTC", "2026-03-29T03:00:00+00:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00+00:00"),
        ("0 12 * * *", "America/New_York", "2026-03-28T16:00:00+00:00"),
        ("every day", "UTC", None),
        ("0 3 * * *", "Mars/Olympus", None),
        ("0 3 * * *", "../etc/passwd", None),
        ("0 0 31 2 *", "UTC", None),
        ("", "UTC", None),
    ],
)
def test_the_next_time(cron: str, zone: str, expected: str | None) -> None:
    """In the schedule's own zone, over the change of the clocks; None for what makes no sense."""
    assert next_time(cron, zone, datetime(2026, 3, 28, 12, 0, tzinfo=UTC)) == expected


def test_words() -> None:
    """Short and empty words say nothing; names of functions do."""
    assert words_of("Where does parse_slug use it?") == {"parse_slug"}
    assert words_of("the it is a") == frozenset()
