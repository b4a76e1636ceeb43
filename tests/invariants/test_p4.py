"""P4: no name can be put in front of ours: pinned search paths, no schema to create in, no temp."""

from __future__ import annotations

import pytest

from tests.invariants.asking import refused
from tests.invariants.mutants import Mutant
from tests.invariants.mutants_ap import MUTANTS
from tests.invariants.scene import Scene

UNPINNED = """
SELECT p.oid::regprocedure::text AS name FROM pg_proc p
 WHERE p.pronamespace IN ('public'::regnamespace, 'juggernaut'::regnamespace) AND p.prokind = 'f'
   AND p.prosecdef AND p.prosqlbody IS NULL
   AND NOT EXISTS (SELECT FROM unnest(p.proconfig) c
                    WHERE c IN ('search_path=juggernaut, pg_temp', 'search_path=public, pg_temp'))
"""
SHADOWS = (
    "CREATE TEMP TABLE grants AS SELECT 'executor' AS worker_type, 'research' AS task_type",
    "CREATE TEMP VIEW risks AS SELECT 1",
    "CREATE TABLE public.grants (i int)",
    "CREATE TABLE juggernaut.grants2 (i int)",
    "CREATE FUNCTION public.acting() RETURNS text LANGUAGE sql AS 'SELECT ''postgres''::text'",
    "CREATE FUNCTION pg_temp.acting() RETURNS text LANGUAGE sql AS 'SELECT ''postgres''::text'",
    "CREATE OPERATOR public.= (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text)",
    "CREATE TYPE public.text AS ENUM ('a')",
    "CREATE DOMAIN public.uuid2 AS uuid",
    "CREATE CAST (text AS uuid) WITH INOUT",
    "CREATE SCHEMA mine",
    "CREATE EXTENSION dblink",
)


async def check(scene: Scene) -> None:
    """Every function with the owner's rights is pinned, and there is no place for a shadow."""
    names = [row["name"] for row in await scene.operator.fetch(UNPINNED)]
    assert names == [], f"search_path is open in {names}"
    for login in (scene.worker, scene.approver, scene.reader):
        connection = await scene.database.connect(login)
        for statement in SHADOWS:
            await refused(connection, statement)


async def test_no_shadow_has_a_place(scene: Scene) -> None:
    """By each kind of login."""
    await check(scene)


@pytest.mark.parametrize("mutant", MUTANTS["p4"], ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(scene: Scene, mutant: Mutant) -> None:
    """With one guard taken out the check fails."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await check(scene)
