"""P5: what runs in the sandbox has no database login: not in its environment, not in its home."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from juggernaut.adapters.sandboxes import process
from juggernaut.adapters.sandboxes.bare import BareSandbox

CANARY = "postgresql://worker:FAKE-password@127.0.0.1:5432/x"
LOOK = "env; cat /proc/self/environ; find . ~ -type f -exec cat {} +"


async def check(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's addresses do not reach a command."""
    for name in ("DATABASE_URL", "WORKER_DATABASE_URL", "PGPASSWORD", "PGSERVICEFILE"):
        monkeypatch.setenv(name, CANARY)
    tree = folder / "tree"
    tree.mkdir()
    sandbox = BareSandbox(folder / "scratch")
    result = await sandbox.run(("sh", "-c", LOOK), tree, timeout_seconds=10)
    assert "PATH=" in result.output, "nothing ran"
    assert "FAKE-password" not in result.output


async def test_no_login_in_the_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment and files, at the weakest level."""
    await check(tmp_path, monkeypatch)


async def test_a_missing_guard_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an inherited environment the check fails."""
    monkeypatch.setattr(process, "environment", lambda home: {**os.environ, "HOME": str(home)})
    with pytest.raises(AssertionError):
        await check(tmp_path, monkeypatch)
