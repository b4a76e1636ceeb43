"""High risk and no sandbox do not go together, unless an operator says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.roles.bench import PYTHON, Bench


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("risk", ["medium", "high", "critical"])
async def test_high_risk_refuses_the_bare_level(bench: Bench, risk: str, allowed: bool) -> None:
    """It is blocked with a reason and an owner before anybody is asked, and runs nothing."""
    known = bench.services
    bench.services = replace(known, settings=replace(known.settings, allow_bare=allowed))
    task = await bench.add_task(
        "command",
        title="Count",
        description="x",
        risk_level=risk,
        payload={"command": [PYTHON, "-c", "print(1)"]},
    )
    await bench.work("executor")
    row = await bench.task(task)
    if allowed or risk == "medium":
        assert row["status"] == ("completed" if risk == "medium" else "waiting_approval")
        return
    assert row["status"] == "blocked"
    assert risk in row["blocked_reason"]
    assert "JUGGERNAUT_ALLOW_BARE" in row["blocked_reason"]
    (line,) = await bench.rows("SELECT * FROM why_idle WHERE task_id = $1", task)
    assert "operator" in str(dict(line))
    assert await bench.rows("SELECT * FROM juggernaut.effects WHERE task_id = $1", task) == []
