"""A worker has the way out of the sandbox, and no command sees the sockets of another one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from juggernaut.adapters.gateway.sandbox import ProxyGateway
from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.adapters.postgres.store import PgStore
from juggernaut.adapters.postgres.store_pulls import PgPulls
from juggernaut.adapters.sandboxes.bare import SAME, UNKNOWN, BareSandbox
from juggernaut.app import wiring
from juggernaut.app.role_files import load_role
from juggernaut.app.secret_files import LiveSettings
from juggernaut.app.setting_sources import load_settings
from juggernaut.ports import Sandbox
from juggernaut.runtime.process import Process
from tests.fixtures_postgres import Database


async def test_a_worker_is_wired_with_a_gateway(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folders are there before the sandbox, which hides only what is there."""
    hides: list[Path] = []

    async def sandbox(scratch: Path, hidden: Sequence[Path]) -> Sandbox:
        """Keep what is to be hidden, as far as it is there."""
        hides.extend(path for path in hidden if path.is_dir())
        return BareSandbox(scratch)

    monkeypatch.setattr(wiring, "best_sandbox", sandbox)
    loaded = load_settings({"database_url": database.url})
    live = LiveSettings(loaded.settings, loaded.files)
    own = tmp_path / "own"
    async with open_pool(database.url, size=1) as pool:
        stores = PgStore(pool), PgPulls(pool)
        services = await wiring.assemble(loaded, live, tmp_path / "data", own, *stores, None)
    assert isinstance(services.gateway, ProxyGateway)
    assert {own / "agents", own / "doors"} <= set(hides)
    assert services.policy.network == ()
    # A worker's row says as whom its commands run.
    await services.sandbox.run(["true"], tmp_path, timeout_seconds=60)
    role = load_role(loaded.roles()["executor"])
    process = Process(services.clock)
    worker = wiring.make_worker(role, loaded.settings, services, stores[0], process, 1, True)
    told = worker.meta["metadata"]
    assert isinstance(told, dict)
    assert told["sandbox"] == "bare"
    assert str(told["account"]).startswith(f"{SAME}: ")
    assert UNKNOWN not in str(told["account"])
