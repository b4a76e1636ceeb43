"""Every function by which a daemon writes of an attempt, as a call with valid arguments."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid4

import asyncpg

from juggernaut.domain.model import Lease
from tests.invariants.scene import Connection

DIGEST: Final = "a" * 64
FACTS: Final = f'{{"command": ["true"], "exit_code": 0, "output_digest": "{DIGEST}"}}'
TASK: Final = '[{"key": "a", "title": "child", "task_type": "command"}]'
BATCH: Final = f"""
    SELECT landed FROM juggernaut.complete_batch_v1(jsonb_build_array(jsonb_build_object(
      'task', $1::uuid, 'fence', $2::bigint, 'secret', $3::uuid, 'kind', 'command',
      'facts', '{FACTS}'::jsonb, 'verdicts', '[]'::jsonb, 'summary', 'ran true')))
"""
ADVICE: Final = '[{"kind": "risk", "title": "advice", "rationale": "because"}]'
WRITES: Final = {
    "log_v1": "'a', 'info', 'm', '{}', NULL",
    "pass_gate_v1": f"'plan', '{DIGEST}', '{{}}', 'high', '{{}}'",
    "complete_v1": f"'command', '{FACTS}', '[]', 'ran true', NULL, NULL",
    "fail_v1": "'x', 'broke', 0",
    "block_v1": "'why', 'who'",
    "release_v1": "'why'",
    "put_off_v2": "'models_busy', 'why', 5",
    "effect_intend_v1": "'push', 'key', '{}'",
    "reserve_v2": f"'m', 'code', '{DIGEST}', 0.01, 10, NULL, NULL",
    "propose_tasks_v1": f"'{TASK}'",
    "save_report_v1": "'t', 'b', '{}'",
    "save_recommendations_v1": f"'{ADVICE}'",
}


def statement(name: str, rest: str = "") -> str:
    """Write the call of a function with a lease in front of its other arguments."""
    return f"SELECT * FROM juggernaut.{name}($1, $2, $3{', ' + rest if rest else ''})"


async def calls_of(connection: Connection) -> dict[str, str]:
    """Give the call of every function that begins with a lease; an unknown one gets nulls."""
    rows = await connection.fetch(
        "SELECT proname AS name, pronargs AS n FROM pg_proc"
        " WHERE pronamespace = 'juggernaut'::regnamespace AND proname ~ '_v[0-9]+$'"
        " AND proargnames[1:3] = '{p_task,p_fence,p_secret}' ORDER BY proname"
    )
    found = {row["name"]: row["n"] for row in rows}
    assert set(WRITES) <= set(found), f"gone: {set(WRITES) - set(found)}"
    calls = {
        name: statement(name, WRITES.get(name, ", ".join(["NULL"] * (n - 3))))
        for name, n in found.items()
    }
    if await connection.fetchval("SELECT to_regproc('juggernaut.complete_batch_v1')"):
        calls["complete_batch_v1"] = BATCH
    return calls


async def call(
    connection: Connection, written: str, task: UUID, fence: int, secret: UUID | None
) -> list[object]:
    """Call a function of the daemon; a refusal gives nothing."""
    try:
        rows = await connection.fetch(written, task, fence, secret)
    except asyncpg.SyntaxOrAccessError:
        raise  # the call is wrong, or forbidden to every worker: that proves nothing
    except asyncpg.PostgresError:
        return []
    return [row[0] for row in rows if row[0]]


def bad_leases(good: Lease) -> dict[str, tuple[int, UUID | None]]:
    """Give wrong fences and wrong secrets for a lease."""
    return {
        "a later fence": (good.fence + 1, good.secret),
        "an earlier fence": (good.fence - 1, good.secret),
        "another secret": (good.fence, uuid4()),
        "no secret": (good.fence, None),
    }
