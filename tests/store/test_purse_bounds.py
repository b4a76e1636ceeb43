"""What one call may take is bounded, and one bad row stops neither purses nor the sweep."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest

from juggernaut.domain.errors import LawRefused
from juggernaut.domain.model import Claim, Json
from juggernaut.domain.purse import Most, Reservation
from tests.fixtures_postgres import Database, Login
from tests.invariants.scene import Scene, open_scene

MOST = 10**9
LIMIT = 2**63 - 1
DAY = "SELECT spent_usd, reserved_usd, spent_tokens, reserved_tokens FROM budgets WHERE scope = $1"
ALERTS = "SELECT subject FROM alerts WHERE kind = $1 AND resolved_at IS NULL ORDER BY 1"
NOW = "UPDATE juggernaut.thresholds SET value = 0 WHERE name = 'write_off_seconds'"
CURSE = """
CREATE FUNCTION public.curse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.title = 'cursed' THEN RAISE EXCEPTION 'a curse'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER curse BEFORE UPDATE ON governance_tasks FOR EACH ROW EXECUTE FUNCTION curse();
ALTER TABLE governance_tasks ENABLE ALWAYS TRIGGER curse;
"""
BROKEN = """
CREATE OR REPLACE FUNCTION juggernaut.{name}() RETURNS {returns} LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'broken'; END $$
"""


@pytest.fixture
async def scene(database: Database, worker_login: Login) -> AsyncIterator[Scene]:
    """A database with one login of each kind."""
    async with open_scene(database, worker_login) as made:
        yield made


async def reserve(
    scene: Scene, claim: Claim, usd: str = "0.1", tokens: int = 10, landing: Most | None = None
) -> UUID:
    """Reserve a call."""
    most = Most(Decimal(usd), tokens)
    return await scene.swarm.store.reserve(claim.lease, Reservation("m", "p", "d", most, landing))


async def purse(scene: Scene, scope: str = "day") -> tuple[Decimal, Decimal, int, int]:
    """Read a purse."""
    row = await scene.operator.fetchrow(DAY, scope)
    assert row is not None
    return row["spent_usd"], row["reserved_usd"], row["spent_tokens"], row["reserved_tokens"]


def errors(swept: Json) -> list[dict[str, str]]:
    """Give what the sweep could not do."""
    found: list[dict[str, str]] = json.loads(json.dumps(swept["errors"]))
    return found


async def alerts(scene: Scene, kind: str) -> list[str]:
    """Give the subjects of the open alerts of a kind."""
    return [row[0] for row in await scene.operator.fetch(ALERTS, kind)]


@pytest.mark.parametrize("tokens", [MOST + 1, LIMIT, -1])
async def test_a_call_has_a_bound_of_tokens(scene: Scene, tokens: int) -> None:
    """The call itself and its landing turn; what is refused was set aside nowhere."""
    claim = await scene.claimed()
    with pytest.raises(LawRefused, match=rf"a reservation of {tokens} tokens.*at most"):
        await reserve(scene, claim, tokens=tokens)
    with pytest.raises(LawRefused, match=rf"a landing turn of {tokens} tokens"):
        await reserve(scene, claim, landing=Most(Decimal(0), tokens))
    assert (await purse(scene))[1:] == (Decimal(0), 0, 0)
    assert (await reserve(scene, claim, tokens=MOST)).version


async def test_a_purse_that_is_full_of_tokens_already_stops_nobody(scene: Scene) -> None:
    """Neither a reservation nor a settlement, a write-off, a landing turn or the sweep."""
    claim = await scene.claimed()
    lost = await reserve(scene, claim, landing=Most(Decimal("0.1"), 5))
    await scene.operator.execute(
        f"UPDATE juggernaut.model_calls SET reserved_tokens = {LIMIT};"
        f"UPDATE budgets SET spent_tokens = {LIMIT} WHERE scope = 'day'"
    )
    call = await reserve(scene, claim)
    await scene.swarm.store.settle(call, Decimal("0.1"), {"tokens": 10})
    await scene.operator.execute(f"UPDATE budgets SET reserved_tokens = {LIMIT}")
    call = await reserve(scene, claim)
    await scene.swarm.store.settle(call, Decimal("0.1"), {"tokens": 10})
    await scene.expire()
    swept = await scene.swarm.store.sweep()
    assert (swept["expired"], swept["errors"]) == (1, [])
    await scene.operator.execute(NOW)
    swept = await scene.swarm.store.sweep()
    assert (swept["written_off"], swept["errors"]) == (1, [])
    state = "SELECT state FROM juggernaut.model_calls WHERE id = $1"
    assert await scene.operator.fetchval(state, lost) == "written_off"
    with pytest.raises(asyncpg.PostgresError, match="a cap cannot be below that"):
        await scene.operator.execute("SELECT set_budget('day', 20, 1000000)")


@pytest.mark.parametrize("limited", [False, True])
async def test_a_purse_pays_no_more_than_was_reserved(scene: Scene, limited: bool) -> None:
    """Nor more dollars than its smallest purse has; told it is, and an alert for a person."""
    if limited:
        await scene.operator.execute("SELECT set_budget('day', 20, 1000)")
    claim = await scene.claimed(budget_usd=Decimal("0.03"))
    call = await reserve(scene, claim, "0.01", 1)
    told = 999_999_999_999_999
    await scene.swarm.store.settle(call, Decimal(99_999_999), {"tokens": told, "more": 1})
    assert await purse(scene) == (Decimal("0.03"), Decimal(0), 1, 0)
    row = await scene.operator.fetchrow("SELECT * FROM juggernaut.model_calls")
    assert row is not None
    assert (row["cost_usd"], row["tokens"]) == (Decimal("0.03"), 1)
    assert json.loads(row["facts"]) == {
        **{"tokens": told, "more": 1},
        **{"told_usd": 99_999_999.0, "told_tokens": told},
    }
    assert await alerts(scene, "overspent_call") == [scene.worker.name]
    assert await scene.violations() == []


async def test_an_honest_call_raises_no_alert(scene: Scene) -> None:
    """Nor does one whose reservation named no tokens: it is counted where they are not limited."""
    claim = await scene.claimed()
    call = await reserve(scene, claim, "0.01", 100)
    await scene.swarm.store.settle(call, Decimal("0.01"), {"tokens": 100})
    lease = claim.lease
    call = await scene.swarm.pool.fetchval(
        "SELECT juggernaut.reserve_v2($1, $2, $3, 'm', 'p', 'd', 0.01, NULL, NULL, NULL)",
        *(lease.task_id, lease.fence, lease.secret),
    )
    await scene.operator.execute("SELECT set_budget('type:command', 20, 1000)")
    scopes = "UPDATE juggernaut.model_calls SET scopes = scopes || '{type:command}' WHERE id = $1"
    await scene.operator.execute(scopes, call)
    await scene.operator.execute(
        "UPDATE budgets SET reserved_usd = 0.01 WHERE scope = 'type:command'"
    )
    await scene.swarm.store.settle(call, Decimal("0.01"), {"tokens": 900})
    assert await purse(scene) == (Decimal("0.02"), Decimal(0), 1000, 0)
    assert (await purse(scene, "type:command"))[2] == 0
    assert await alerts(scene, "overspent_call") == []


async def test_a_held_alert_keeps_no_purse_waiting(scene: Scene) -> None:
    """Whoever settles while somebody resolves the alert goes on."""
    claim = await scene.claimed()
    first, second = [await reserve(scene, claim) for _ in range(2)]
    await scene.swarm.store.settle(first, Decimal(5), {})
    async with scene.operator.transaction():
        await scene.operator.fetch("SELECT * FROM alerts FOR UPDATE")
        await asyncio.wait_for(scene.swarm.store.settle(second, Decimal(5), {}), 5)
    assert (await purse(scene))[0] == Decimal(10)


async def test_one_bad_call_keeps_no_other_waiting(scene: Scene) -> None:
    """The sweep says which, and its alert ends with the cause."""
    calls = {}
    for name in ("w1", "w2"):
        claim = await scene.claimed(name, budget_usd=1)
        calls[name] = await reserve(scene, claim)
    scope = f"task:{claim.task.id}"
    await scene.operator.execute(
        f"ALTER TABLE budgets ADD CONSTRAINT cursed CHECK (scope <> '{scope}' OR spent_usd = 0)"
    )
    await scene.operator.execute(NOW)
    await scene.expire()
    swept = await scene.swarm.store.sweep()
    assert (swept["expired"], swept["written_off"]) == (2, 1)
    (error,) = errors(swept)
    assert (error["duty"], error["of"]) == ("write-offs", str(calls["w2"]))
    assert "cursed" in error["message"]
    assert await alerts(scene, "sweep_error") == ["write-offs"]
    await scene.operator.execute("ALTER TABLE budgets DROP CONSTRAINT cursed")
    swept = await scene.swarm.store.sweep()
    assert (swept["written_off"], swept["errors"]) == (1, [])
    assert await alerts(scene, "sweep_error") == []


async def test_one_bad_task_keeps_no_other_waiting(scene: Scene) -> None:
    """Whose lease is over, which is due, or which a purse let go."""
    for title in ("cursed", "well"):
        await scene.claimed(title, title=title)
    for title in ("cursed", "well"):
        claim = await scene.claimed(f"{title}2", title=title)
        lease = claim.lease
        await scene.swarm.pool.execute(
            "SELECT juggernaut.block_v1($1, $2, $3, 'purse day: the next may cost 0 ', 'me')",
            *(lease.task_id, lease.fence, lease.secret),
        )
        await scene.operator.execute(
            "INSERT INTO governance_tasks (title, task_type, run_after)"
            " VALUES ($1, 'command', clock_timestamp() + interval '10 ms')",
            title,
        )
    await scene.operator.execute(CURSE)
    await scene.expire()
    await asyncio.sleep(0.05)
    swept = await scene.swarm.store.sweep()
    assert (swept["expired"], swept["due"], swept["refilled"]) == (1, 1, 1)
    assert [error["duty"] for error in errors(swept)] == ["leases", "due"]
    assert await alerts(scene, "sweep_error") == ["due", "leases", "refill"]
    await scene.operator.execute("DROP TRIGGER curse ON governance_tasks")
    swept = await scene.swarm.store.sweep()
    assert (swept["expired"], swept["due"], swept["refilled"]) == (1, 1, 1)
    assert await alerts(scene, "sweep_error") == []


@pytest.mark.parametrize(
    ("name", "returns", "duty"),
    [
        ("end_old_transactions", "integer", "transactions"),
        ("seal_audit", "integer", "seals"),
        ("watch_seals", "void", "seals"),
        ("end_numbered_readers", "integer", "seals"),
        ("keep_log_partitions", "integer", "log partitions"),
    ],
)
async def test_a_broken_duty_keeps_no_other_waiting(
    scene: Scene, name: str, returns: str, duty: str
) -> None:
    """A dead session's lease is taken back all the same."""
    claim = await scene.claimed()
    await scene.expire()
    await scene.operator.execute(BROKEN.format(name=name, returns=returns))
    swept = await scene.swarm.store.sweep()
    assert swept["expired"] == 1
    assert swept["errors"] == [{"duty": duty, "message": "broken"}]
    assert await alerts(scene, "sweep_error") == [duty]
    assert await scene.swarm.status(claim.task.id) == "pending"
