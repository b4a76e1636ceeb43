"""Facts have the form that their names promise, and name what came of this very attempt."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from juggernaut.domain.errors import LawRefused
from juggernaut.domain.model import Completion, Evidence
from tests.fixtures_postgres import Database, Login
from tests.store.swarm import Swarm, open_swarm

WRONG = "SELECT juggernaut.fact_is_wrong($1::text, jsonb_build_object($1::text, $2::text::jsonb))"
UNSEEN = "\u2800\U0001bca0\U0001bca3\U0001d173\U0001d17a\U000e0000\U000e0200\U000e0fff"
SEEN = "\u27ff\u2801\U0001bc9f\U0001bca4\U0001d172\U0001d17b\U000dffff\U000e1000\u00e9"


@pytest.fixture
async def swarm(database: Database, worker_login: Login) -> AsyncIterator[Swarm]:
    """A swarm in protected mode."""
    async with open_swarm(database, worker_login) as made:
        yield made


@pytest.mark.parametrize(
    ("fact", "good", "bad"),
    [
        ("files", (["a.py"],), (False, 0, "a.py", {"a": 1}, [], [""], [" "], [[]], [None])),
        ("sources", (["a.py"], [{"id": "s1"}]), (False, "a", {"a": 1}, [], [{}], [" "])),
        ("checks", ([{"name": "a"}],), (False, "a", {"a": 1}, [], [[]], [{}], [None])),
        ("task_ids", (["a"],), (False, "a", {"a": 1}, [], [""])),
        ("recommendation_ids", ([], [1]), (False, 1, "1", {}, {"a": 1})),
        ("tests", ({"passed": 1},), (0, False, "fine", {}, [], ["a"])),
        ("passed", (1, 999_999_999, "3"), (0, 10**9, 10**300, -1, 1.5, [1], True)),
        ("pull_number", (1, 999_999_999), (0, 10**9, "9" * 200, False)),
        ("report_id", (1, 10**17), (0, 10**300, [1], -1)),
        ("failed", (0,), (0.5, -1, False, [0], "")),
        ("location", ("docs/a.md",), (" ", "\n\t", False, ["a"], {"a": 1}, 1)),
        ("pull_url", ("/a.git#1",), (" ", False, ["a"], 1)),
        ("command", (["true"], "make"), (False, 0, "", " ", [], [""], [" "], {"a": 1})),
        ("some_fact", (False, 0, "x", ["x"], {"x": 1}), ("", " ", [], {}, None)),
    ],
)
async def test_a_fact_has_its_form(
    swarm: Swarm, fact: str, good: tuple[object, ...], bad: tuple[object, ...]
) -> None:
    """A list where there are many, words that are not blank, a count that somebody could count."""
    for values, wrong in ((good, False), (bad, True)):
        found = [await swarm.operator.fetchval(WRONG, fact, json.dumps(value)) for value in values]
        assert found == [wrong] * len(values), values
    assert await swarm.operator.fetchval("SELECT juggernaut.fact_is_wrong($1, '{}')", fact)


async def test_a_report_is_of_the_attempt_that_completes(swarm: Swarm) -> None:
    """One of an earlier attempt was about what was seen then."""
    await swarm.add(task_type="research")
    session = await swarm.worker("a", "analyst")
    first = await swarm.claim_one(session)
    old = await swarm.store.save_report(first.lease, "t", "b", {})
    assert await swarm.store.release(first.lease, "stopped")
    again = await swarm.claim_one(session)

    def proof(report: int) -> Completion:
        """What completes it."""
        facts: dict[str, object] = {"sources": ["a.py"], "report_id": report}
        return Completion(Evidence("research", facts), (), "done", None)

    with pytest.raises(LawRefused, match="report_id names what is not of this task"):
        await swarm.store.complete(again.lease, proof(old))
    new = await swarm.store.save_report(again.lease, "t", "b", {})
    assert await swarm.store.complete(again.lease, proof(new))


async def test_what_nobody_sees_is_shown_as_a_sign(swarm: Swarm) -> None:
    """Empty Braille, shapeless signs of shorthand and music, the first 4096 of plane 14."""
    shown = await swarm.operator.fetchval("SELECT juggernaut.shown($1)", UNSEEN)
    assert shown == "\ufffd" * len(UNSEEN)
    assert await swarm.operator.fetchval("SELECT juggernaut.shown($1)", SEEN) == SEEN
