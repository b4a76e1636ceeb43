"""A secret of the process gets neither from a model into a tool, nor from a tree into a commit."""

from __future__ import annotations

import base64
from dataclasses import replace
from decimal import Decimal

import pytest

from juggernaut.domain.exchange import Message, ModelReply, ModelRequest, ToolCall
from juggernaut.domain.redact import MASK
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.budget import Purser
from tests.fakes.puppets import PuppetAgent, PuppetModel, says
from tests.roles.bench import CRITERIA, FAKE_SECRET, GOOD_SLUG, Bench

BASE64 = base64.b64encode(f"user:{FAKE_SECRET}".encode()).decode()


async def test_a_reply_is_without_them(bench: Bench) -> None:
    """In words, and at any depth of what a tool is called with; the rest stays as it is."""
    arguments = {"path": "a\x1b[0m", "content": f"x = {FAKE_SECRET!r}", "more": [{"y": BASE64}, 1]}
    reply: ModelReply = replace(
        says(f"It is {FAKE_SECRET}."), tool_calls=(ToolCall("1", "write", arguments),)
    )
    await bench.add_task("command", budget_usd=Decimal(1))
    found = await bench.claim("executor")
    assert found is not None
    services = replace(bench.services, models=PuppetModel({"code": [reply]}))
    ask = Purser(Attempt(services, found.task, found.lease))
    heard = await ask(ModelRequest("code", "", (Message("user", "go"),)))
    assert heard.text == f"It is {MASK}."
    got = heard.tool_calls[0].arguments
    assert {name: got[name] for name in ("path", "content")} == {
        "path": "a\x1b[0m",
        "content": f"x = '{MASK}'",
    }
    assert BASE64 not in str(got["more"])
    assert MASK in str(got["more"])


@pytest.mark.parametrize("written", [FAKE_SECRET[::-1], BASE64, f"\u2028{FAKE_SECRET}"])
async def test_a_change_that_adds_one_is_refused(bench: Bench, written: str) -> None:
    """Before anything is pushed, whatever wrote it there; the reason does not repeat it."""
    bench.use(agent=PuppetAgent({"slug.py": GOOD_SLUG, "notes.txt": f"key: {written}\n"}))
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, max_attempts=1)
    assert await bench.work("executor") == "failed"
    row = await bench.task(task)
    assert "adds a secret of the worker" in row["error_message"]
    assert written not in str(tuple(row))
    assert await bench.rows("SELECT * FROM juggernaut.effects") == []


async def test_a_change_may_take_one_away(bench: Bench) -> None:
    """A line that is removed, or stands near, is no reason to refuse."""
    bench.origin.push("main", {"notes.txt": f"key: {FAKE_SECRET}\nother\n"})
    bench.use(agent=PuppetAgent({"slug.py": GOOD_SLUG, "notes.txt": "other\n"}))
    await bench.add_task("code", acceptance_criteria=CRITERIA, max_attempts=1)
    assert await bench.work("executor") == "completed"
