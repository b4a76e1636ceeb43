"""The shape of the schema as data, to name what somebody changed behind the migrations' back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import LiteralString, Protocol

# One row per fact: kind, name, definition. Left out: partitions (made at run time), whatever an
# extension owns, the runner's own table. The caller empties search_path, so names are qualified
# the same way in every session.
FACTS: LiteralString = """
WITH rel AS (
    SELECT c.oid, c.relkind, c.relname, c.relrowsecurity, c.relforcerowsecurity,
           format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('public', 'juggernaut')
      AND NOT c.relispartition
      AND (n.nspname, c.relname) <> ('juggernaut', 'migrations')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                        AND d.objid = c.oid AND d.deptype = 'e')
), tab AS (
    SELECT * FROM rel WHERE relkind IN ('r', 'p')
), fact(kind, name, definition) AS (
    SELECT 'table', name,
           concat_ws(' ', relkind, relrowsecurity, relforcerowsecurity)
    FROM tab
    UNION ALL
    SELECT 'column', format('%s.%I', tab.name, a.attname),
           concat_ws(' ', pg_catalog.format_type(a.atttypid, a.atttypmod),
                     CASE WHEN a.attnotnull THEN 'not null' END,
                     a.attidentity::text, a.attgenerated::text,
                     pg_catalog.pg_get_expr(d.adbin, d.adrelid))
    FROM tab
    JOIN pg_catalog.pg_attribute a ON a.attrelid = tab.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = tab.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT 'constraint', format('%I on %s', k.conname, tab.name),
           concat_ws(' ', pg_catalog.pg_get_constraintdef(k.oid), k.convalidated)
    FROM tab
    JOIN pg_catalog.pg_constraint k
      ON k.conrelid = tab.oid AND k.contype <> 'n' AND k.conparentid = 0
    UNION ALL
    SELECT 'index', format('%I on %s', c.relname, coalesce(tab.name, rel.name)),
           concat_ws(' ', pg_catalog.pg_get_indexdef(i.indexrelid), i.indisvalid)
    FROM rel
    JOIN pg_catalog.pg_index i ON i.indrelid = rel.oid
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    LEFT JOIN tab ON tab.oid = rel.oid
    UNION ALL
    SELECT 'trigger', format('%I on %s', t.tgname, rel.name),
           concat_ws(' ', t.tgenabled, pg_catalog.pg_get_triggerdef(t.oid))
    FROM rel
    JOIN pg_catalog.pg_trigger t ON t.tgrelid = rel.oid AND NOT t.tgisinternal
    UNION ALL
    SELECT 'policy', format('%I on %s', p.polname, tab.name),
           concat_ws(' ', p.polcmd, p.polpermissive,
                     (SELECT string_agg(coalesce(r.rolname, 'public'), ',' ORDER BY r.rolname)
                      FROM unnest(p.polroles) AS role(oid)
                      LEFT JOIN pg_catalog.pg_roles r ON r.oid = role.oid),
                     pg_catalog.pg_get_expr(p.polqual, p.polrelid),
                     pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
    FROM tab
    JOIN pg_catalog.pg_policy p ON p.polrelid = tab.oid
    UNION ALL
    SELECT 'view', name, pg_catalog.md5(pg_catalog.pg_get_viewdef(oid))
    FROM rel WHERE relkind IN ('v', 'm')
    UNION ALL
    SELECT 'function',
           format('%I.%I(%s)', n.nspname, p.proname,
                  pg_catalog.pg_get_function_identity_arguments(p.oid)),
           pg_catalog.md5(concat_ws(' ', p.prokind, p.prosecdef, p.provolatile, p.proisstrict,
                         l.lanname,
                         pg_catalog.pg_get_function_result(p.oid), p.proconfig::text, p.prosrc,
                         pg_catalog.pg_get_function_sqlbody(p.oid)))
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE n.nspname IN ('public', 'juggernaut')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                        AND d.objid = p.oid AND d.deptype = 'e')
)
SELECT pg_catalog.jsonb_build_object(
    'major', current_setting('server_version_num')::int / 10000,
    'facts', coalesce(pg_catalog.jsonb_object_agg(kind || ' ' || name, definition), '{}'))::text
FROM fact
"""
NO_SEARCH_PATH: LiteralString = "SELECT pg_catalog.set_config('search_path', '', true)"
# An extra table, view, function or index of the operator's own is no drift; these bend the law.
GUARDED_ADDITIONS = ("column", "constraint", "trigger", "policy")


class Queryable(Protocol):
    """The part of a connection that is needed here."""

    async def fetchval(self, query: str) -> object:
        """The first value of the first row."""
        ...


async def take_fingerprint(connection: Queryable) -> str:
    """The schema's fingerprint as JSON text; call it in a transaction, it empties search_path."""
    await connection.fetchval(NO_SEARCH_PATH)
    return str(await connection.fetchval(FACTS))


def differences(stored: str, found: str) -> list[str]:
    """What is missing, changed or added in `found`, each named in a few words, sorted.

    Another major version of PostgreSQL prints the same definition in other words, so after an
    upgrade only names are compared until the next migration stores a new fingerprint.
    """
    before, after = json.loads(stored), json.loads(found)
    had: Mapping[str, str] = before["facts"]
    have: Mapping[str, str] = after["facts"]
    gone = {name for name in had if name not in have}
    named = [f"{name} is missing" for name in gone if not _within(name, gone)]
    if before["major"] == after["major"]:
        named += [f"{name} was changed" for name in had if have.get(name, had[name]) != had[name]]
    for name in have:
        kind = name.split(" ", 1)[0]
        if name not in had and kind in GUARDED_ADDITIONS and _owner(name) in had:
            named.append(f"{name} was added")
    return sorted(named)


def _owner(fact: str) -> str:
    """The fact of the table that a column, constraint, trigger, index or policy belongs to."""
    kind, _, name = fact.partition(" ")
    if kind == "column":
        return f"table {name.rsplit('.', 1)[0]}"
    return f"table {name.rsplit(' on ', 1)[-1]}"


def _within(fact: str, gone: set[str]) -> bool:
    """Whether `fact` is missing only because its whole table is."""
    return not fact.startswith("table ") and _owner(fact) in gone
