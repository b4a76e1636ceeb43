"""P1: run-time logins own nothing, and write nothing but what is listed.

The list itself is the snapshot of tests/privileges.
"""

from __future__ import annotations

import pytest

from tests.invariants.mutants import Mutant
from tests.invariants.mutants_ap import MUTANTS
from tests.invariants.scene import Scene

GROUPS = (
    *("juggernaut_worker", "juggernaut_plain", "juggernaut_approver", "juggernaut_reader"),
    "public",
)
DECISIVE = (
    *("juggernaut.grants", "public.approvals", "public.budgets", "juggernaut.evidence"),
    *(
        "juggernaut.decision_log",
        "juggernaut.verdicts",
        "juggernaut.thresholds",
        "juggernaut.risks",
    ),
    *("juggernaut.task_types", "juggernaut.transitions", "juggernaut.criteria", "juggernaut.plans"),
    *("juggernaut.sessions", "juggernaut.attempts", "juggernaut.events", "juggernaut.seals"),
    *("juggernaut.effects", "juggernaut.model_calls", "juggernaut.login_types"),
    *("juggernaut.editors", "juggernaut.duties", "juggernaut.migrations", "public.controls"),
)
POWERS = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
OWNED = """
SELECT r.rolname FROM pg_roles r WHERE r.rolname = ANY ($1::text[])
   AND (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
        OR EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid)
        OR EXISTS (SELECT FROM pg_proc p WHERE p.proowner = r.oid)
        OR EXISTS (SELECT FROM pg_namespace n WHERE n.nspowner = r.oid))
"""
FUTURE = "CREATE FUNCTION juggernaut.made_later() RETURNS integer LANGUAGE sql AS 'SELECT 1'"


async def check(scene: Scene) -> None:
    """Ownership, decisive tables, and a function that somebody adds tomorrow."""
    operator = scene.operator
    names = [scene.worker.name, scene.approver.name, scene.reader.name, *GROUPS]
    assert await operator.fetch(OWNED, names) == []
    for group in GROUPS:
        for table in DECISIVE:
            for power in POWERS:
                held = await operator.fetchval(
                    "SELECT has_table_privilege($1, $2, $3)"
                    " OR ($3 IN ('INSERT', 'UPDATE') AND has_any_column_privilege($1, $2, $3))",
                    *(group, table, power),
                )
                assert not held, f"{group} holds {power} on {table}"
    await operator.execute(f"SET ROLE juggernaut_owner; {FUTURE}; RESET ROLE")
    for group in GROUPS:
        assert not await operator.fetchval(
            "SELECT has_function_privilege($1, 'juggernaut.made_later()', 'EXECUTE')", group
        ), f"{group} may call what nobody granted"


async def test_logins_own_nothing(scene: Scene) -> None:
    """Nor do they write what decides."""
    await check(scene)


@pytest.mark.parametrize("mutant", MUTANTS["p1"], ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one guard taken out the check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await check(scene)
