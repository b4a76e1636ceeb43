"""The whole flow over the real SDKs: `up` as a process, a provider's wire format on 127.0.0.1."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from juggernaut.app.demo.sample import TEST_COMMAND
from tests.app.cli_process import Ended, call
from tests.fakes.wire_anthropic import WireAnthropic
from tests.fakes.wire_openai import WireOpenAI
from tests.fakes.wire_server import KEY, Fault, WireServer
from tests.fixtures_postgres import Database, Login
from tests.flow.wished import (
    everything_stored,
    git,
    read_facts,
    sample_checkout,
    suite_is_green,
    wire_script,
)

GOAL = "shorten keeps its limit"
NONE = Fault.NONE
# The code agent's first reply is cut at the length limit and so not used; half of its second one
# is missing, and it is asked for again.
BROKEN_TURNS = (Fault.CUT_AT_LIMIT, Fault.GARBLED)


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider: its server, its settings, and what its usage is in the ledger."""

    server: type[WireServer]
    prefix: str
    usage: Mapping[str, int]
    faults: tuple[Fault, ...]


ANTHROPIC = Provider(
    WireAnthropic,
    "ANTHROPIC",
    {
        "input_tokens": 1_000,
        "output_tokens": 100,
        "cache_read_tokens": 200,
        "cache_write_tokens": 300,
    },
    # Overloaded; then two wordings of the same request, the second is taken.
    (Fault.OVERLOADED, NONE, NONE, *BROKEN_TURNS),
)
OPENAI = Provider(
    WireOpenAI,
    "OPENAI",
    {
        "input_tokens": 1_000,
        "output_tokens": 100,
        "cache_read_tokens": 500,
        "cache_write_tokens": 0,
    },
    # Turned away; then three wordings of the same request, the third is taken.
    (Fault.RATE_LIMITED, NONE, NONE, NONE, *BROKEN_TURNS),
)
BOTH = pytest.mark.parametrize("provider", [ANTHROPIC, OPENAI], ids=["anthropic", "openai"])


@dataclass(frozen=True, slots=True)
class Place:
    """Where a flow runs."""

    folder: Path
    checkout: Path
    script: Path
    database: Database
    worker_url: str
    operator: asyncpg.Connection[asyncpg.Record]

    async def up(self, provider: Provider, server: WireServer) -> Ended:
        """Run `up` for the goal with the provider's key and address."""
        settings = {
            "DATABASE_URL": self.database.url,
            "WORKER_DATABASE_URL": self.worker_url,
            f"{provider.prefix}_API_KEY": KEY,
            f"{provider.prefix}_BASE_URL": server.url,
        }
        test = shlex.join(TEST_COMMAND)
        state = str(self.folder / "state")
        wish = ("--repo", str(self.checkout), "--goal", GOAL, "--test", test, "--dir", state)
        async with asyncio.timeout(100):
            return await call(self.folder, "up", *wish, **settings)


@pytest.fixture
async def place(database: Database, worker_login: Login, tmp_path: Path) -> Place:
    """The sample as a checkout, a script for the provider, and an operator."""
    return Place(
        tmp_path,
        await asyncio.to_thread(sample_checkout, tmp_path / "checkout"),
        wire_script(tmp_path / "wire.yaml"),
        database,
        database.url_for(worker_login.name, worker_login.password),
        await database.connect(),
    )


async def check_merged(place: Place) -> None:
    """The goal is completed by one merge whose tests pass and whose sha is the evidence."""
    assert await place.operator.fetchval("SELECT status FROM goals") == "completed"
    proofs = await place.operator.fetch(
        "SELECT kind, facts, merged_sha FROM proof ORDER BY completed_at"
    )
    assert [row["kind"] for row in proofs] == ["planning", "code"]
    facts, sha = read_facts(proofs[1]["facts"]), proofs[1]["merged_sha"]
    assert facts["merged_sha"] == sha
    assert facts["files"] == ["slugs/text.py"]
    assert facts["tests"]["failed"] == 0
    (repository,) = (place.folder / "state" / "forge").glob("*.git")
    assert git(repository, "rev-parse", "HEAD") == sha
    assert "slug[:limit]" in git(repository, "show", f"{sha}:slugs/text.py")
    assert suite_is_green(repository, sha, place.folder / "clone")
    assert await place.operator.fetch("SELECT * FROM law_violations") == []


async def check_spend(place: Place, provider: Provider, failed: list[str]) -> None:
    """Every call is settled: a reply with its usage and price, a failure with its name."""
    calls = await place.operator.fetch(
        "SELECT state, model, reserved_usd, cost_usd, facts FROM juggernaut.model_calls"
        " ORDER BY reserved_at"
    )
    facts = [read_facts(row["facts"]) for row in calls]
    assert {row["state"] for row in calls} == {"settled"}
    assert {row["model"].split("/")[0] for row in calls} == {provider.prefix.lower()}
    assert [fact["error"] for fact in facts if "error" in fact] == failed
    for row, fact in zip(calls, facts, strict=True):
        if "error" not in fact:
            assert {name: fact[name] for name in provider.usage} == provider.usage
            assert 0 < row["cost_usd"] <= row["reserved_usd"]
        elif fact["error"] == "ModelUnavailable":
            assert row["cost_usd"] == 0
        else:
            assert row["cost_usd"] == row["reserved_usd"] > 0
    spent = await place.operator.fetchval("SELECT spent_usd FROM spend WHERE scope LIKE 'day%'")
    assert spent == sum((row["cost_usd"] for row in calls), Decimal(0))


async def check_secret(place: Place, server: WireServer, ended: Ended) -> None:
    """The key went to the provider's header and nowhere else."""
    assert server.requests
    assert [seen for seen in server.requests if KEY in json.dumps(seen.body)] == []
    assert KEY not in ended.out + ended.err
    assert KEY not in await everything_stored(place.operator)
    kept = (file for file in (place.folder / "state").rglob("*") if file.is_file())
    assert [file for file in kept if KEY.encode() in file.read_bytes()] == []


@BOTH
@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_goal_becomes_a_merge(place: Place, provider: Provider) -> None:
    """Planned, written, tested, merged; every call paid for; the key is nowhere."""
    async with provider.server(place.script) as server:
        ended = await place.up(provider, server)
    assert ended.code == 0, ended.out + ended.err
    await check_merged(place)
    await check_spend(place, provider, [])
    await check_secret(place, server, ended)


@BOTH
@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_faults_of_the_provider_cost_time_only(place: Place, provider: Provider) -> None:
    """Turned away, cut at the length limit, cut in the middle: the goal still completes."""
    async with provider.server(place.script, provider.faults) as server:
        ended = await place.up(provider, server)
    assert ended.code == 0, ended.out + ended.err
    await check_merged(place)
    await check_spend(place, provider, ["ModelUnavailable", "ModelGarbled"])
    cut = "SELECT count(*) FROM juggernaut.model_calls WHERE facts ->> 'stop' = 'length'"
    assert await place.operator.fetchval(cut) == 1
    await check_secret(place, server, ended)


@BOTH
@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_a_refused_key_ends_the_goal_with_the_reason(
    place: Place, provider: Provider
) -> None:
    """One request, no retry; the provider's words, which hold the key, are scrubbed."""
    faults = (Fault.UNAUTHORIZED,) * 4
    async with provider.server(place.script, faults) as server:
        ended = await place.up(provider, server)
    assert ended.code == 1, ended.out + ended.err
    task = await place.operator.fetchrow(
        "SELECT status, error_message FROM governance_tasks WHERE task_type = 'planning'"
    )
    assert task is not None
    assert task["status"] == "failed"
    assert "401" in task["error_message"]
    assert "is not valid" in ended.out
    await check_secret(place, server, ended)
