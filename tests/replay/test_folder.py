"""The folder of cassettes: who may read it, and what is looked for in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from juggernaut.adapters.cassettes.folder import CassetteFolder
from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.adapters.postgres.store import PgStore
from juggernaut.adapters.postgres.store_pulls import PgPulls
from juggernaut.adapters.sandboxes.bare import BareSandbox
from juggernaut.app import wiring
from juggernaut.app.secret_files import LiveSettings
from juggernaut.app.setting_sources import load_settings
from juggernaut.domain.errors import ConfigError, InvalidInput
from juggernaut.ports import Sandbox
from tests.fixtures_postgres import Database

NAME = "5b0f6c1e-3c0e-4a53-9f0a-0c8f6f1f0a01-{}.jsonl"


async def test_commands_do_not_see_the_cassettes(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that records has the folder, and its sandbox is told to hide it."""
    hides: list[Path] = []

    async def sandbox(scratch: Path, hidden: Sequence[Path]) -> Sandbox:
        """Keep what is to be hidden, as far as it is there."""
        hides.extend(path for path in hidden if path.is_dir())
        return BareSandbox(scratch)

    monkeypatch.setattr(wiring, "best_sandbox", sandbox)
    monkeypatch.setenv("JUGGERNAUT_RECORD", str(tmp_path / "tapes"))
    loaded = load_settings({"database_url": database.url})
    live = LiveSettings(loaded.settings, loaded.files)
    data, own = tmp_path / "data", tmp_path / "own"
    async with open_pool(database.url, size=1) as pool:
        stores = PgStore(pool), PgPulls(pool)
        services = await wiring.assemble(loaded, live, data, own, *stores, None)
    assert services.cassettes is not None
    await services.cassettes.append(NAME.format(1), b"{}\n")
    assert (tmp_path / "tapes" / NAME.format(1)).read_text() == "{}\n"
    assert tmp_path / "tapes" in hides


async def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Only names of cassettes, no link, and not what is no folder."""
    tapes = CassetteFolder(tmp_path / "tapes")
    secret = tmp_path / NAME.format(1)
    secret.write_text("{}\n")
    for name in ("../x.jsonl", f"../{NAME.format(1)}", "a.jsonl", f"{NAME.format(1)}\n", ""):
        with pytest.raises(InvalidInput, match="is not the name of a cassette"):
            await tapes.read(name, None)
        with pytest.raises(InvalidInput, match="is not the name of a cassette"):
            await tapes.append(name, b"")
    (tmp_path / "tapes" / NAME.format(2)).symlink_to(secret)
    with pytest.raises(InvalidInput, match="cannot be read"):
        await tapes.read(NAME.format(2), None)
    with pytest.raises(OSError, match="Too many levels"):
        await tapes.append(NAME.format(2), b"")
    with pytest.raises(ConfigError, match="set JUGGERNAUT_RECORD"):
        CassetteFolder(secret)


async def test_the_newest_is_the_one_of_the_highest_fence(tmp_path: Path) -> None:
    """By number, not by letter."""
    tapes = CassetteFolder(tmp_path)
    task = NAME.rpartition("-")[0]
    assert tapes.newest(task) is None
    for fence in (2, 10, 9):
        await tapes.append(NAME.format(fence), b"{}\n")
    newest = tapes.newest(task)
    assert newest is not None
    assert newest.name == NAME.format(10)


async def test_the_oldest_go_where_a_new_one_begins(tmp_path: Path) -> None:
    """By the time of the last line; what is no cassette stays, and 0 keeps them all."""
    tapes, every = CassetteFolder(tmp_path, 3), CassetteFolder(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    for fence in range(1, 6):
        await every.append(NAME.format(fence), b"{}\n")
        os.utime(tmp_path / NAME.format(fence), (fence, fence))
    (tmp_path / NAME.format(99)).symlink_to(tmp_path / "notes.txt")
    await every.append(NAME.format(2), b"{}\n")
    await tapes.append(NAME.format(5), b"{}\n")
    assert len(list(tmp_path.glob("*.jsonl"))) == 6, "an old cassette went on"
    await tapes.append(NAME.format(6), b"{}\n")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {NAME.format(fence) for fence in (2, 5, 6, 99)} | {"notes.txt"}
